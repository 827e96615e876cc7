"""Batches as a pure function of (seed, step, rank): the same after a resume and for any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pipeline.experiment import Experiment
from pipeline.feed.loading import CropLoader
from pipeline.feed.sides import Pairs
from pipeline.kinds import KINDS
from pipeline.kinds.contract import Drawing
from pipeline.training import ranks

Batch = tuple[Tensor | None, ...]
Batches = Callable[[int, int], Iterator[Batch]]  # of the steps from start to stop


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
