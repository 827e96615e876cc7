"""The run of an experiment: what its training and every later stage log to."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.experiment import Experiment
from pipeline.tracking.identity import Identity, training_identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import Run, open_run


def open_experiment(
    root: Path, experiment: Experiment, key: str, stage: str, parent: Identity | None = None
) -> AbstractContextManager[Run]:
    """Open the run of ``experiment`` whose training has ``key``, nested in ``parent`` if there is one; see open_run."""
    identity = training_identity(experiment.task, experiment.variant or "encoder", experiment.seed, key, parent)
    origin = provenance(root, stage, experiment.profile, experiment.task)
    return open_run(root, identity, experiment.runtime.tracking_uri, origin)
