"""A group of workers to its end: told to stop with its driver, started again from the last checkpoint when some die.

Ray Train would start a failed group again itself (FailureConfig), but also one that ended for a mistake of the user's
or because it was told to stop; and a Ray that died it cannot. So the driver does it, in a loop. Where the raylet dies
that it started, no loop helps: when Ray's C++ in the driver hears of the node's death, it looks for an object there and
ends the process with code 1 and no word. So the raylet is watched, and the whole process starts anew before Ray hears
of it; how often is remembered in its environment.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from pipeline.console import quiet_libraries, warn
from pipeline.errors import Interrupted, StartAnew, SteadyflowError
from pipeline.files import write_text
from pipeline.training.ray_cluster import RayDidNotStart, said_to_people
from pipeline.training.stopping import stop_requests, told_by_file

RETRIES = "STEADYFLOW_RETRIES"  # how often this process has started anew, and for which training
_GLANCE = 0.2  # seconds between two looks at whether to stop, and whether the raylet lives
_STARTING = 60.0  # seconds from when room begins to be looked for until workers begin, beyond those a silent one has
_DYING = 5.0  # seconds that Ray's processes have to be gone in
# What the process groups of torch raise on a worker whose partner died, or did not answer in time.
_SILENCE = ("Timed out waiting", "timed out after", "Watchdog caught collective operation timeout", "has been hanging")
_BROKEN = ("gloo", "NCCL", "Connection reset by peer", "Broken pipe")


def member(work: Callable[[Any], None], stop: Path) -> Callable[[Any], None]:
    """Return what a worker of a group runs: ``work``, told to stop by the file ``stop``; the first one speaks."""
    return functools.partial(_on_worker, work, stop)


def _on_worker(work: Callable[[Any], None], stop: Path, given: Any) -> None:
    import ray.train

    quiet_libraries()
    first = ray.train.get_context().get_world_rank() == 0
    if first:
        write_text(_begun(stop), "all workers have come together\n")
    with said_to_people(first), told_by_file(stop):
        work(given)
    if first:
        write_text(_ended(stop), "the work is done\n")


def _begun(stop: Path) -> Path:
    """Return the file that says that the first worker has begun its work."""
    return stop.with_suffix(".begun")


def _ended(stop: Path) -> Path:
    """Return the file that says that the first worker has done its work, whatever dies afterwards."""
    return stop.with_suffix(".ended")


def looking(stop: Path) -> Path:
    """Return the file that changes each time that room for the workers is looked for (``ray_room.LooksForRoom``)."""
    return stop.with_suffix(".looking")


def run_group(make: Callable[[], Any], name: str, retries: int, patience: float, stop: Path) -> None:
    """Run the trainer that ``make`` makes to its end, and one that failed again, ``retries`` times at the most.

    ``patience``: the seconds after which workers give a silent one up, to be told. The file ``stop`` tells workers to
    save and stop; it is written when this process is told to. Raises our own errors as they were raised on the
    worker, Interrupted when told to stop, StartAnew where the raylet died that this process started or
    workers did not come together, SteadyflowError past the limit, and what else a worker raised as it is.
    """
    import ray

    files = (stop, _begun(stop), _ended(stop), looking(stop))
    _remove(files)
    try:
        with stop_requests() as asked:
            for retry in itertools.count(1 + _retries_before(name)):
                fault = _attempt(make, asked, stop, patience)
                if fault is None or _ended(stop).exists():
                    return
                own = own_error(fault)
                if own is not None and not isinstance(own, RayDidNotStart):
                    raise own from None
                goes_on = f"{name}: the same command goes on from the last checkpoint"
                if asked():
                    raise Interrupted(goes_on)
                if (why := _misfortune(fault, patience)) is None:
                    raise fault
                if retry > retries:
                    raise SteadyflowError(
                        f"{name}: {why}, and runtime.retries ({retries}) are used up; the same command goes on from "
                        f"the last checkpoint; Ray's own words are in {_logs(ray)}"
                    )
                warn(f"{name}: {why}; going on from the last checkpoint ({retry} of {retries} retries)")
                if _raylet_is_dead() or isinstance(fault, _NotBegunError):
                    _kill_ray()
                    if asked():
                        raise Interrupted(goes_on)
                    raise StartAnew(goes_on, {RETRIES: f"{retry} {name}"})
                if not hasattr(fault, "worker_failures"):  # it is Ray that failed: start it anew, or join it anew
                    ray.shutdown(wait_for_processes=True)
    finally:
        _remove(files)


def _retries_before(name: str) -> int:
    """Return how often this process started anew for the training ``name``, and forget it."""
    count, _, of = os.environ.pop(RETRIES, "").partition(" ")
    return int(count) if of == name and count.isdigit() else 0


def _kill_ray() -> None:
    """Kill what this process started of a Ray that died or hangs; asking Ray itself to may end us.

    Workers end by themselves when they miss their raylet.
    """
    family: list[psutil.Process] = []
    for process in _processes_of_ray():
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(process.pid)
            family += [own, *own.children(recursive=True)]
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(family, timeout=_DYING)


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


class _NotBegunError(Exception):
    """Workers did not come together though there was room; Ray's own calls for that have no limit."""


def _attempt(make: Callable[[], Any], asked: Callable[[], bool], stop: Path, patience: float) -> BaseException | None:
    """Make and run a trainer in a thread, so that signals reach this process; return what it raised.

    Where the raylet dies, or the workers do not begin, its thread is left behind. Their time begins anew whenever room
    is looked for again: in a cluster that was joined they may have to wait for it, without a limit.
    """
    found: list[BaseException | None] = []

    def run() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # whatever it is, who waits judges it
            found.append(error)

    try:
        trainer = make()
    except Exception as error:
        return error
    _remove([_begun(stop)])
    since, looked = time.monotonic(), ""
    thread = threading.Thread(target=run, name="trainer", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_GLANCE)
        if thread.is_alive() and _raylet_is_dead():
            import ray.exceptions

            return ray.exceptions.RaySystemError("the raylet is dead")
        if thread.is_alive() and not _begun(stop).exists():
            if (last := _text(looking(stop))) != looked:
                since, looked = time.monotonic(), last
            if time.monotonic() > since + patience + _STARTING:
                return _NotBegunError()
        if asked() and not stop.exists():
            write_text(stop, "save and stop\n")
    return found[0] if found else None


def _text(file: Path) -> str:
    """Return what a file holds; nothing where there is none, or it cannot be read now."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def _raylet_is_dead() -> bool:
    """Return whether the raylet is dead that this process started; of a cluster that it joined, it started none."""
    return any(process.poll() is not None for process in _processes_of_ray("raylet"))


def _processes_of_ray(kind: str | None = None) -> list[Any]:
    """Return the Popen of each process that this one started for Ray, or of those of a kind."""
    import ray

    node = ray._private.worker._global_node
    started = node.all_processes if node else {}
    return [one.process for name, found in started.items() if kind in (None, name) for one in found]


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error of Ray's and every one inside of it."""
    pending: list[Any] = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, BaseException):
            yield current
            pending += list(getattr(current, "worker_failures", {}).values())
            inner = ("cause", "_base_exc", "health_check_failure", "controller_failure", "__cause__")
            pending += [getattr(current, name, None) for name in inner]


def own_error(error: BaseException) -> SteadyflowError | OSError | None:
    """Return the error of ours, or of a file, inside what Ray raised for a failed worker, if there is one."""
    for found in causes(error):
        if isinstance(found, SteadyflowError) or (isinstance(found, OSError) and found.errno and found.filename):
            return found
    return None


def _misfortune(error: BaseException, patience: float) -> str | None:
    """Return in a few words what died, for which nobody's code is to blame; None where a worker raised an error."""
    import ray.exceptions
    import ray.train

    if isinstance(error, RayDidNotStart):
        return str(error)
    if isinstance(error, _NotBegunError):
        return f"workers did not begin within {patience + _STARTING:g} s"
    failures = getattr(error, "worker_failures", None)
    if failures is None:
        return "Ray died" if isinstance(error, (ray.exceptions.RayError, ray.train.ControllerError, OSError)) else None
    dead = [rank for rank, one in failures.items() if any(isinstance(e, ray.exceptions.RayError) for e in causes(one))]
    if dead:
        return f"worker {', '.join(map(str, sorted(dead)))} died"
    said = "\n".join(str(failure) for failure in failures.values())
    if any(words in said for words in _SILENCE):
        return f"a worker did not answer for {patience:g} s"
    return "the connection between workers broke" if any(words in said for words in _BROKEN) else None


def _logs(ray: Any) -> str:
    node = ray._private.worker._global_node
    return f"{node.get_logs_dir_path()}" if node else "its log folder"
