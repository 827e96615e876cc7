"""Batches as a pure function of (seed, step, rank): the same after a resume and for any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from pipeline.experiment import Experiment
from pipeline.feed.loading import CropLoader
from pipeline.feed.sides import Pairs, open_pairs
from pipeline.kinds import KINDS
from pipeline.kinds.contract import Drawing
from pipeline.layout import manifest_path
from pipeline.training import ranks

Batch = tuple[Tensor | None, ...]
Batches = Callable[[int, int], Iterator[Batch]]  # of the steps from start to stop


def training_pairs(experiment: Experiment, root: Path) -> Pairs:
    """Return the prepared training pictures of the experiment's task; DataError if there are none."""
    problem = experiment.problem
    return open_pairs(manifest_path(root, experiment.task), "train", problem.scale, KINDS[problem.kind].equalized)


def batches_of(
    pairs: Pairs,
    experiment: Experiment,
    device: torch.device,
    batch: int,
    pretraining: bool = False,
    asked: str = "training.batch",
) -> Batches:
    """Return a function from (start, stop) to this worker's share of the batches of these steps.

    ``batch``: samples of all workers together, which the setting ``asked`` says. In ``pretraining`` nothing random is
    added to the crops.
    """
    data, scale, seed = experiment.settings.data, experiment.problem.scale, experiment.seed
    kind = KINDS[experiment.problem.kind]
    training = None if pretraining else experiment.settings.training
    rank, world = ranks.rank(), ranks.world_size()
    loader = CropLoader(pairs, data.crop, batch, seed, data.flips, data.rotations, rank, world, asked)

    def batches(start: int, stop: int) -> Iterator[Batch]:
        for step, stored in enumerate(loader.paired_batches(start, stop), start):
            sides = [side.to(device, non_blocking=True) for side in stored]
            first = step * batch
            samples = range(first + rank, first + batch, world)
            yield kind.batch(sides, scale, training, Drawing(seed, step, samples))

    return batches
