"""Batches as a pure function of (seed, step, rank): the same after a resume and for any number of workers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pipeline.config import TrainingConfig
from pipeline.feed.loading import CropLoader
from pipeline.kinds import Kind
from pipeline.kinds.contract import Drawing


def training_batches(
    loader: CropLoader,
    start: int,
    stop: int,
    kind: Kind,
    scale: int,
    training: TrainingConfig | None,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor | None, ...]]:
    """Yield this worker's share of the batches of steps start..stop-1, as ``kind.batch`` makes them on ``device``."""
    for step, stored in enumerate(loader.paired_batches(start, stop), start):
        sides = [side.to(device, non_blocking=True) for side in stored]
        first = step * loader.batch_size
        samples = range(first + loader.rank, first + loader.batch_size, loader.world_size)
        yield kind.batch(sides, scale, training, Drawing(seed, step, samples))
