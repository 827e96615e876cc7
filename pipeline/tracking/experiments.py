"""The run of an experiment: what its training and every later stage log to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.experiment import Experiment
from pipeline.tracking.data import data_of
from pipeline.tracking.identity import Identity, training_identity
from pipeline.tracking.provenance import as_later_stage, provenance
from pipeline.tracking.run import Run, open_run


@contextlib.contextmanager
def open_experiment(
    root: Path, experiment: Experiment, key: str, stage: str, parent: Identity | None = None
) -> Iterator[Run]:
    """Open the run of ``experiment`` whose training has ``key``, nested in ``parent`` if there is one; see open_run.

    The run's source and commit stay those of the training, or of the shield; later stages leave their own commit
    beside it.
    """
    identity = training_identity(experiment.task, experiment.variant or "encoder", experiment.seed, key, parent)
    origin = provenance(root, stage, experiment.profile, experiment.task)
    if stage not in ("train", "shield"):
        origin = as_later_stage(origin, stage)
    with open_run(root, identity, experiment.runtime.tracking_uri, origin) as run:
        if used := data_of(root, experiment.task, stage):
            run.data(used)
        yield run


@contextlib.contextmanager
def open_baseline(root: Path, experiment: Experiment) -> Iterator[Run]:
    """Open the run of the restoration without a network, which stands beside a task's variants as one of them."""
    used = data_of(root, experiment.task, "evaluate")
    tags = {"task": experiment.task, "baseline": experiment.problem.kind}
    identity = Identity(f"{experiment.task}-baseline", tags, used.digest if used else "unknown", supersedes=tuple(tags))
    origin = provenance(root, "evaluate", experiment.profile, experiment.task)
    with open_run(root, identity, experiment.runtime.tracking_uri, origin) as run:
        if used:
            run.data(used)
        yield run
