"""Trials of a search side by side: Ray Tune says which and when, each is a Ray Train run as every training is.

A trial on one worker is Ray Train's local mode inside of the process that Tune gives it, and Tune gives that process
the next trial, since what takes longest about a small trial is a new process that imports torch. Ray keeps nothing:
trials write down what they find themselves, so that a search goes on from there however it was ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from pipeline.config import RuntimeConfig
from pipeline.console import quiet_libraries
from pipeline.devices import at_a_time
from pipeline.errors import Interrupted, SteadyflowError
from pipeline.layout import runs_folder
from pipeline.training.jobs import Report
from pipeline.training.loop import Values
from pipeline.training.ray_cluster import RayDidNotStart, connect, set_ray_up
from pipeline.training.ray_group import own_error
from pipeline.training.ray_train import fit

_SHOWN = 300  # characters of what Ray says
_GOES_ON = "trials that ended are kept; the same command goes on from there"
Work = Callable[[Any, Report, torch.device], None]  # of a trial; a function at the top of a module, or a partial of one
Ended = Callable[[int, Values], None]  # number of the trial, what it reported last


@dataclasses.dataclass(frozen=True)
class Halving:
    """Successive halving (ASHA, Li et al. 2020) by ``metric``, which trials report with their ``step``."""

    metric: str
    mode: str  # min or max
    grace: int  # steps
    reduction: int


def run_trials(
    work: Work,
    trials: Sequence[Any],
    runtime: RuntimeConfig,
    root: Path,
    name: str,
    ended: Ended,
    halving: Halving | None = None,
) -> None:
    """Run ``work(trial, report, device)`` for every one of ``trials``, as many at a time as there is room for.

    ``ended`` is called in this process as soon as a trial has ended, or was stopped by ``halving``. What raised, or was
    killed, does not end the others; when they have ended the first of our own errors is raised, or SteadyflowError.
    Interrupted when told to stop.
    """
    if not trials:
        return
    set_ray_up()
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output prints tables whatever it is told
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # ours is below
    import ray
    from ray import tune

    quiet_libraries()  # Ray set the levels of its loggers
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what trials raise is told below, in one line
    workers = 0 if runtime.workers == "auto" else runtime.workers
    count = min(len(trials), max(1, at_a_time(runtime) // max(1, workers)))
    folder, own = runs_folder(root) / "ray", f"tune-{name}"
    needs = {"cpu": 1.0, "gpu": float(torch.cuda.is_available())} if workers == 0 else {"cpu": 0.1}

    def trainable(config: dict[str, Any]) -> None:
        number = config["number"]
        _one(work, trials[number], f"{name}-{number}", root, workers)

    with _cluster(ray, count * max(1, workers) + 1, workers > 0):
        shutil.rmtree(folder / own, ignore_errors=True)
        tuner = tune.Tuner(
            tune.with_resources(trainable, needs),
            param_space={"number": tune.grid_search(list(range(len(trials))))},
            tune_config=tune.TuneConfig(max_concurrent_trials=count, reuse_actors=True, scheduler=_scheduler(halving)),
            run_config=tune.RunConfig(name=own, storage_path=str(folder), verbose=0, callbacks=[_told(ended)]),
        )
        try:
            failures = tuner.fit().errors
        except SteadyflowError:
            raise
        except Exception as error:  # of Tune's own making, such as when the machine has run out of memory
            why = str(error).strip().partition("\n")[0][:_SHOWN]
            raise SteadyflowError(f"Ray broke off ({why}); {_GOES_ON}") from None
    shutil.rmtree(folder / own, ignore_errors=True)
    _raise(failures, len(trials))


def _one(work: Work, trial: Any, name: str, root: Path, workers: int) -> None:
    """Run one trial in the process that Tune gave it."""
    quiet_libraries()
    callbacks = []
    if workers:
        from ray.tune.integration.ray_train import TuneReportCallback

        callbacks.append(TuneReportCallback())
    fit(functools.partial(_on_worker, work, workers == 0), trial, name, root, workers, callbacks)


def _on_worker(work: Work, local: bool, trial: Any) -> None:
    import ray.train
    import ray.train.torch
    import ray.tune

    quiet_libraries()
    tell = ray.tune.report if local else ray.train.report  # in local mode the worker is Tune's own process

    def report(values: Values) -> None:
        tell(dict(values))

    work(trial, report, ray.train.torch.get_device())


def _told(ended: Ended) -> Any:
    """Return a callback of Tune that tells ``ended``.

    It stands in the place of Tune's own, which prints a line per trial however quiet Tune is told to be.
    """
    from ray.tune.progress_reporter import TrialProgressCallback

    class Told(TrialProgressCallback):
        ended: Ended

        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
            pass

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.ended(trial.config["number"], trial.last_result)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            pass

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles itself for a resume that nobody asks for; this stays here

    told = Told()
    told.ended = ended  # nothing in the class itself, which is pickled too
    return told


def _scheduler(halving: Halving | None) -> Any:
    if halving is None:
        return None  # first in, first out
    from ray.tune.schedulers import ASHAScheduler

    return ASHAScheduler(
        time_attr="step",
        metric=halving.metric,
        mode=halving.mode,
        grace_period=halving.grace,
        reduction_factor=halving.reduction,
        max_t=10**9,  # trainings end by themselves
    )


def _raise(failures: Sequence[BaseException], count: int) -> None:
    if not failures:
        return
    own = [found for found in map(own_error, failures) if found is not None]
    if own:
        raise own[0]
    first = str(failures[0]).strip().splitlines() or ["its process died"]
    raise SteadyflowError(
        f"{len(failures)} of {count} trials failed (the first: {first[-1]}); the others are kept, "
        "and the same command tries those again"
    )


@contextlib.contextmanager
def _cluster(ray: Any, cpus: int, dashboard: bool) -> Iterator[None]:
    """Start Ray on this machine, or join the cluster of RAY_ADDRESS; raise Interrupted when told to stop.

    Processes ask for a core each; ``cpus`` is how many Ray takes to be there, which is what was chosen before.
    """
    # Ray Train's workers complain once a second where there is no dashboard; in local mode there are none
    try:
        connect(num_cpus=cpus, include_dashboard=dashboard)
    except RayDidNotStart as error:
        raise SteadyflowError(f"{error}; {_GOES_ON}") from None
    told: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not told:  # the second time, as of a process group, nothing
            told.append(number)
            raise Interrupted(_GOES_ON)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException:
        if told:  # inside of Ray ours has become another one
            raise Interrupted(_GOES_ON) from None
        raise
    finally:
        ray.shutdown()
        for number, handler in before.items():
            signal.signal(number, handler)
