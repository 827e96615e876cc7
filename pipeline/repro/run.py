"""A whole run, from the options of ``steadyflow repro`` to its exit code."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import timings
from pipeline.config import RuntimeConfig
from pipeline.console import complain, say
from pipeline.errors import SteadyflowError
from pipeline.repro.alone import alone
from pipeline.repro.display import Display
from pipeline.repro.expected import Plan
from pipeline.repro.running import Processes
from pipeline.repro.scheduler import Scheduler
from pipeline.repro.slots import Environment, slots, visible_devices
from pipeline.repro.with_dvc import CommandFailed, DvcRun, one_line, parsed

_SPOKEN = (2, 130)  # exit codes of pipeline.console.run_main: the stage has printed its one line
_DRY = {"dvc.stage.run": logging.INFO, "dvc.cli": logging.ERROR}  # what of DVC speaks in a dry run


def reproduce(
    root: Path,
    options: Sequence[str],
    jobs: int | None,
    runtime: RuntimeConfig,
    target: str,
    before: Callable[[], object],
) -> tuple[int, bool]:
    """Bring what ``options`` of ``dvc repro`` name up to date, ``target`` if they name nothing.

    Returns the exit code, and whether anything but a dry run was asked for. ``before``: see ``run``; a dry run shows
    what follows from what it writes.
    """
    chosen = parsed(options)
    if chosen is None:
        return 2, False
    if not (chosen["targets"] or chosen["all_pipelines"]):
        options, chosen = [*options, target], {**chosen, "targets": [target]}
    if chosen["dry"]:
        before()
        return dry_run(options), False
    return run(root, chosen, jobs, runtime, before), True


def run(
    root: Path,
    options: Mapping[str, Any],
    jobs: int | None,
    runtime: RuntimeConfig,
    before: Callable[[], object] = lambda: None,
) -> int:
    """Bring the stages that ``options`` (see ``parsed``) name up to date, ``jobs`` at a time (None: see ``slots``).

    ``before`` writes what stages depend on, as soon as it is known that no other run is at work here: a stage of that
    one would be recorded with it. Returns 0, the exit code of the first stage that failed, or 130 after SIGINT or
    SIGTERM. Raises SteadyflowError if another run is at work.
    """
    from dvc.exceptions import DvcException

    try:
        with alone(root) as lock:
            before()
            with DvcRun(options) as dvc:
                return _run(root, dvc, lock, _slots(jobs, runtime), options["on_error"])
    except DvcException as error:
        raise SteadyflowError(one_line(error)) from error


def _run(root: Path, dvc: DvcRun, lock: int, places: list[Environment], on_error: str) -> int:
    plan = Plan(dvc.needs, timings.latest(root))
    display = Display(len(dvc.needs))
    processes = Processes(lock, display)
    scheduler = Scheduler(plan, dvc.reproduce, places, display, processes.stop, _complain_of, on_error)
    with dvc.commands_by(processes):
        well = scheduler.run()
    codes = [_status(error) for error in scheduler.failed.values()]
    if scheduler.told and not well:
        if not processes.has_said_so:
            complain("stopped: the same command goes on from there")
        return 130
    return 0 if on_error == "ignore" else next(iter(codes), 0)


def _status(error: BaseException) -> int:
    """Return the exit code that a failed stage gives the run; raise what is no failure of a stage."""
    from dvc.exceptions import DvcException

    if isinstance(error, CommandFailed):
        return error.status
    if isinstance(error, DvcException):
        return 1
    raise error


def _complain_of(name: str, error: BaseException) -> None:
    """Say why a stage failed, if it has not said so itself."""
    from dvc.exceptions import DvcException

    if isinstance(error, CommandFailed | DvcException) and _status(error) not in _SPOKEN:
        complain(f"error: failed to reproduce '{name}': {one_line(error)}")


def _slots(jobs: int | None, runtime: RuntimeConfig) -> list[Environment]:
    from joblib import cpu_count

    devices = [] if runtime.device == "cpu" else visible_devices(_gpus(), os.environ)
    return slots(jobs, runtime, cpu_count(), devices, os.environ)


def _gpus() -> int:
    """Return how many GPUs torch sees; where there are no drivers, without loading it."""
    if not any(Path("/dev").glob(pattern) for pattern in ("nvidia*", "kfd", "dxg")):
        return 0
    import torch

    return torch.cuda.device_count()


def dry_run(options: Sequence[str]) -> int:
    """Print which stages would run, and their commands; return DVC's exit code."""
    from dvc.cli import main

    logging.disable(logging.NOTSET)
    for name, level in _DRY.items():
        logging.getLogger(name).setLevel(level)
    code: int = main(["repro", *options, "--quiet"])
    if code:
        say("a dry run shows stages up to the first whose inputs are not there yet; without --dry they are made")
        return 1
    return 0
