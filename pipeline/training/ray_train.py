"""The one way into training: Ray Train, in this process for one worker, on a cluster for more."""

from __future__ import annotations

import functools
import math
import os
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
from pipeline.training.ray_cluster import connect, set_ray_up
from pipeline.training.ray_group import looking, member, own_error, run_group

Work = Callable[[Job, Report, torch.device], None]  # pretrain or train; a function at the top of a module


def launch(job: Job, work: Work) -> None:
    """Run ``work(job, ...)`` on as many workers as the experiment's runtime says, and wait for it.

    When it has come to its end, its checkpoints are dropped; where anything is raised, they stay. ``auto``: one worker
    per GPU, else 0, which is Ray Train's local mode: this process, no cluster. Our own errors come back as they were
    raised on the worker. Raises ConfigError for sizes that are impossible or a shielded variant, DataError for inputs
    that are missing.
    """
    check_network(job.experiment)
    runtime, checkpoints = job.experiment.runtime, job.checkpoints(job.key())
    set_ray_up()
    fit(
        functools.partial(_on_worker, work),
        job.packed(),
        job.experiment.name,
        job.root,
        workers_of(runtime),
        retries=runtime.retries,
        patience=runtime.hang_seconds,
    )
    checkpoints.finish()


def fit(
    work: Callable[[Any], None],
    given: Any,
    name: str,
    root: Path,
    workers: int,
    callbacks: Sequence[Any] = (),
    retries: int = 0,
    patience: float = 1800.0,
) -> None:
    """Run ``work(given)`` as the Ray Train run ``name``, which people see, of ``workers`` workers; 0: in this process.

    ``callbacks``: Ray Train's, of which a run in this process calls none. ``retries``: how often workers that died
    are started again; ``patience``: for how many seconds they wait for one that is silent (``run_group``).
    Our own errors come back as they were raised.
    Raises ConfigError for more workers than this machine has room for; a cluster may grow, so there it is a warning.
    """
    import ray
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    gpus = workers > 0 and torch.cuda.is_available()
    storage, own = runs_folder(root) / "ray", name.replace(" ", "-")
    stop = storage / f"{own}.stop"

    def make() -> Any:
        own_callbacks = []
        if workers:
            from pipeline.training.ray_room import LooksForRoom

            _make_room(workers, "GPU" if gpus else "CPU")
            own_callbacks = [LooksForRoom(looking(stop))]
        return TorchTrainer(
            member(work, stop) if workers else work,
            train_loop_config=given,
            torch_config=TorchConfig(timeout_s=math.ceil(patience)),
            scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=gpus),
            run_config=ray.train.RunConfig(name=own, storage_path=str(storage), callbacks=[*callbacks, *own_callbacks]),
        )

    if workers:
        os.environ.setdefault("RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S", str(patience))  # for one that is all frozen
        run_group(make, name, retries, patience, stop)
    else:
        _in_this_process(make())


def _in_this_process(trainer: Any) -> None:
    try:
        trainer.fit()
    except SteadyflowError:
        raise
    except Exception as error:
        raise own_error(error) or error from None


def _make_room(workers: int, unit: str) -> None:
    """Have Ray there, with a ``unit`` for each of ``workers``: ConfigError if this machine has fewer."""
    import ray

    if not ray.is_initialized():
        connect()
    if fault := shortage(workers, unit, ray.cluster_resources()):
        if "RAY_ADDRESS" not in os.environ:
            raise ConfigError(fault)
        warn(f"{fault}; waiting for the cluster to grow")


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
