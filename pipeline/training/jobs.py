"""A training as it travels to workers, and what both kinds of it have in common there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.dependencies import settings_of
from pipeline.devices import choose_device
from pipeline.errors import ConfigError, DataError
from pipeline.experiment import Experiment
from pipeline.layout import encoder_folder, manifest_path, variant_folder
from pipeline.seeds import seed_of
from pipeline.tracking.identity import Identity, training_identity
from pipeline.training import ranks
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.loop import Values
from pipeline.training.run_key import run_key

Report = Callable[[Values], None]


@dataclasses.dataclass(frozen=True)
class Job:
    """One training: where the project is, what to train with which settings, and the folder to write to.

    An experiment without a variant pretrains the encoder. ``out`` None: the experiment's place under artifacts/.
    ``parent``: the run that this one is a part of, such as a search.
    """

    root: Path
    experiment: Experiment
    out: Path | None = None
    parent: Identity | None = None

    @property
    def folder(self) -> Path:
        """Return the folder that the results are written to."""
        chosen = self.experiment
        if self.out is not None:
            return self.out
        if chosen.variant is None:
            return encoder_folder(self.root, chosen.task, chosen.seed)
        return variant_folder(self.root, chosen.task, chosen.variant, chosen.seed)

    @property
    def stage(self) -> str:
        """Return the stage whose dependencies the result has."""
        return "pretrain" if self.experiment.variant is None else "train"

    def packed(self) -> dict[str, Any]:
        """Return the job as plain values, for a worker that may be on another machine."""
        experiment = self.experiment.model_dump(mode="json")
        return {"root": self.root, "experiment": experiment, "out": self.out, "parent": self.parent}

    @classmethod
    def unpacked(cls, packed: dict[str, Any]) -> Job:
        """Return the job that ``packed`` was made of."""
        return cls(**{**packed, "experiment": Experiment.model_validate(packed["experiment"])})

    def manifest(self) -> Path:
        """Return the manifest of the prepared pictures; DataError if they are not prepared."""
        manifest = manifest_path(self.root, self.experiment.task)
        if not manifest.exists():
            raise DataError(f"{manifest} is missing; run `steadyflow repro prepare@{self.experiment.task}` first")
        return manifest

    def encoder_weights(self) -> Path:
        """Return the file of the pretrained encoder; DataError if it, or the prepared pictures, are missing."""
        chosen = self.experiment
        weights = encoder_folder(self.root, chosen.task, chosen.seed) / "weights.safetensors"
        self.manifest()  # the first thing that is missing is the one to be told
        if not weights.exists():
            raise DataError(f"{weights} is missing; run `steadyflow repro pretrain@{chosen.task}-{chosen.seed}` first")
        return weights

    def key(self) -> str:
        """Return the hash of everything that the result depends on: settings, code, manifest, a flow's encoder.

        DataError if the pictures are not prepared or the encoder is missing, ConfigError for a shielded variant.
        """
        chosen, manifest = self.experiment, self.manifest()
        if chosen.shield:
            raise ConfigError(f"{chosen.name} is not trained: the stage shield makes it of {chosen.trained}")
        settings = settings_of(self.stage, chosen.resolved(), task=chosen.task, variant=chosen.variant or "")
        named = {"task": chosen.task, "variant": chosen.variant, "seed": chosen.seed}
        inputs = [] if chosen.variant is None else [self.encoder_weights()]
        return run_key(self.stage, {**named, "settings": settings}, [manifest, *inputs])

    def checkpoints(self, key: str) -> CheckpointStore:
        """Return the checkpoints of the run with this key.

        Whoever asked for the training calls their ``finish`` when its results are written. No worker does: workers may
        outlive a driver that was killed, and the same command then goes on from their last step.
        """
        chosen = self.experiment
        identity = training_identity(chosen.task, chosen.variant or "encoder", chosen.seed, key, self.parent)
        return CheckpointStore(identity.folder(self.root))

    def store(self, key: str) -> CheckpointStore:
        """Return ``checkpoints``, to train with; a run that was finished before starts anew."""
        store = self.checkpoints(key)
        if store.done and ranks.is_first():
            store.restart()
        return store


def seeded_device(experiment: Experiment, what: str, own: torch.device | None = None) -> torch.device:
    """Seed the initialization of weights (the same on every rank and for every variant); return the device."""
    torch.manual_seed(seed_of(what, experiment.task, experiment.seed))
    return choose_device(experiment.runtime, own)
