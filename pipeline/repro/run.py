"""A whole run, from the options of ``steadyflow repro`` to its exit code."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
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
from pipeline.repro.with_dvc import CommandFailed, DvcRun, one_line

_SPOKEN = (2, 130)  # exit codes of pipeline.console.run_main: the stage has printed its one line
_DRY = {"dvc.stage.run": logging.INFO, "dvc.cli": logging.ERROR}  # what of DVC speaks in a dry run


def run(root: Path, options: Mapping[str, Any], jobs: int | None, runtime: RuntimeConfig) -> int:
    """Bring the stages that ``options`` (see ``parsed``) name up to date, ``jobs`` at a time (None: see ``slots``).

    Returns 0, the exit code of the first stage that failed, or 130 after SIGINT or SIGTERM. Raises SteadyflowError if
    another run is at work here.
    """
    from dvc.exceptions import DvcException

    try:
        with alone(root) as lock, DvcRun(options) as dvc:
            return _run(root, dvc, lock, _slots(jobs, runtime), options["on_error"])
    except DvcException as error:
        raise SteadyflowError(one_line(error)) from error


def _run(root: Path, dvc: DvcRun, lock: int, places: list[Environment], on_error: str) -> int:
    from dvc.exceptions import DvcException

    plan = Plan(dvc.needs, timings.latest(root))
    display = Display(len(dvc.needs))
    processes = Processes(lock, display)
    scheduler = Scheduler(plan, dvc.reproduce, places, display, processes.stop, on_error)
    with dvc.commands_by(processes):
        well = scheduler.run()
    if scheduler.told and not well:
        if not processes.has_said_so:
            complain("stopped: the same command goes on from there")
        return 130
    code = 0
    for name, error in scheduler.failed.items():
        if not isinstance(error, CommandFailed | DvcException):
            raise error
        status = error.status if isinstance(error, CommandFailed) else 1
        if status not in _SPOKEN:
            complain(f"error: failed to reproduce '{name}': {one_line(error)}")
        code = code or status
    return 0 if on_error == "ignore" else code


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
