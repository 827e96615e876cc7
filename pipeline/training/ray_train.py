"""The one way into training: Ray Train, in this process for one worker, on a cluster for more."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.console import warn
from pipeline.devices import workers_of
from pipeline.errors import ConfigError, SteadyflowError
from pipeline.feasibility.possible import check_network
from pipeline.layout import runs_folder
from pipeline.training.jobs import Job, Report
from pipeline.training.loop import Values

Work = Callable[[Job, Report, torch.device], None]  # pretrain or train; a function at the top of a module


def launch(job: Job, work: Work) -> None:
    """Run ``work(job, ...)`` on as many workers as the experiment's runtime says, and wait for it.

    ``auto``: one worker per GPU, else 0, which is Ray Train's local mode: this process, no cluster. Our own
    errors come back as they were raised on the worker. Raises ConfigError for sizes that are impossible.
    """
    check_network(job.experiment)
    workers = workers_of(job.experiment.runtime)
    set_ray_up()
    fit(functools.partial(_on_worker, work), job.packed(), job.experiment.name.replace(" ", "-"), job.root, workers)


def set_ray_up() -> None:
    """Set what Ray reads from the environment when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # else every line of a worker appears twice
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")


def quoted_python() -> dict[str, Any]:
    """Return the options of ``ray.init`` without which no worker starts below a folder with a space in its name.

    Ray puts the interpreter's path into a shell command as it is.
    """
    quoted = shlex.quote(sys.executable)
    return {} if quoted == sys.executable else {"runtime_env": {"py_executable": quoted}}


def fit(
    work: Callable[[Any], None], given: Any, name: str, root: Path, workers: int, callbacks: Sequence[Any] = ()
) -> None:
    """Run ``work(given)`` as the Ray Train run ``name`` of ``workers`` workers; 0: in this process.

    ``callbacks``: Ray Train's, of which a run in this process calls none. Our own errors come back as they were raised.
    Raises ConfigError for more workers than this machine has room for; a cluster may grow, so there it is a warning.
    """
    gpus = torch.cuda.is_available()
    import ray
    import ray.train
    from ray.train.torch import TorchTrainer

    if workers:
        if not ray.is_initialized():
            ray.init(**quoted_python())  # as Ray Train would, but for the name of the interpreter
        if fault := shortage(workers, "GPU" if gpus else "CPU", ray.cluster_resources()):
            if "RAY_ADDRESS" not in os.environ:
                raise ConfigError(fault)
            warn(f"{fault}; waiting for the cluster to grow")

    trainer = TorchTrainer(
        work,
        train_loop_config=given,
        scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=workers > 0 and gpus),
        run_config=ray.train.RunConfig(
            name=name, storage_path=str(runs_folder(root) / "ray"), callbacks=list(callbacks)
        ),
    )
    try:
        trainer.fit()
    except SteadyflowError:
        raise
    except Exception as error:
        raise own_error(error) or error from None


def shortage(workers: int, unit: str, resources: Mapping[str, float]) -> str | None:
    """Return in a line that there are fewer of ``unit``, CPU or GPU, than workers, each of which takes one; or None."""
    have = int(resources.get(unit, 0))
    if workers <= have:
        return None
    return (
        f"runtime.workers: {workers} workers take a {unit} each, but Ray has {have} here; "
        f"allowed: 0 (in this process) to {have}, or auto"
    )


def _on_worker(work: Work, packed: dict[str, Any]) -> None:
    import ray.train.torch

    def report(values: Values) -> None:
        ray.train.report(dict(values))

    # Workers of one machine see all of its GPUs; Ray says which one is this worker's.
    work(Job.unpacked(packed), report, ray.train.torch.get_device())


def own_error(error: BaseException) -> SteadyflowError | None:
    """Return the SteadyflowError inside what Ray raised for a failed worker, if there is one."""
    pending: list[Any] = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, SteadyflowError):
            return current
        pending += list(getattr(current, "worker_failures", {}).values())
        pending += [e for e in (getattr(current, "cause", None), current.__cause__) if isinstance(e, BaseException)]
    return None
