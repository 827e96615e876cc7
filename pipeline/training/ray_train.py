"""The one way into training: Ray Train, in this process for one worker, on a cluster for more."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch

from pipeline.config import RuntimeConfig
from pipeline.errors import SteadyflowError
from pipeline.layout import runs_folder
from pipeline.training.jobs import Job, run_job
from pipeline.training.loop import Row


def launch(job: Job, runtime: RuntimeConfig) -> None:
    """Run ``job`` on ``runtime.workers`` workers and wait for it.

    ``auto``: one worker per GPU, else 0, which is Ray Train's local mode: this process, no cluster. Our own
    errors come back as they were raised on the worker.
    """
    workers = torch.cuda.device_count() if runtime.workers == "auto" else runtime.workers
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # else every line of a worker appears twice
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    import ray.train
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        _on_worker,
        train_loop_config=dataclasses.asdict(job),
        scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=workers > 0 and torch.cuda.is_available()),
        run_config=ray.train.RunConfig(
            name=f"{job.task}-{job.variant or 'encoder'}-{job.seed}",
            storage_path=str(runs_folder(Path(job.root)) / "ray"),
        ),
    )
    try:
        trainer.fit()
    except SteadyflowError:
        raise
    except Exception as error:
        raise _own_error(error) or error from None


def _on_worker(job: dict[str, Any]) -> None:
    import ray.train.torch

    def report(row: Row) -> None:
        ray.train.report(dict(row))

    # Workers of one machine see all of its GPUs; Ray says which one is this worker's.
    run_job(job, report, ray.train.torch.get_device())


def _own_error(error: BaseException) -> SteadyflowError | None:
    """Return the SteadyflowError inside what Ray raised for a failed worker, if there is one."""
    pending: list[Any] = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, SteadyflowError):
            return current
        pending += list(getattr(current, "worker_failures", {}).values())
        pending += [e for e in (getattr(current, "cause", None), current.__cause__) if isinstance(e, BaseException)]
    return None
