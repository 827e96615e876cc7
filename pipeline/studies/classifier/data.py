"""What is classified, as networks see it: normalized batches, in an order that a seed and a step decide."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.seeds import generator
from pipeline.studies.small_pictures import Pictures, small_pictures
from pipeline.studies.sources import DIGITS

_PAD = 4  # pixels, paper B's random crops


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Training and test pictures.

    ``mean``, ``std``: per channel ``(C, 1, 1)``, of all training pictures in [0, 1]. ``augmented``: training pictures
    are shifted and flipped.
    """

    pictures: Pictures
    mean: Tensor
    std: Tensor
    augmented: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Return (channels, side in pixels)."""
        channels, side, _ = self.pictures.shape
        return channels, side

    def normalized(self, pictures: Tensor) -> Tensor:
        """Return stored ``pictures`` with mean 0 and variance 1 per channel, as networks see them."""
        return (pictures.float() / (self.pictures.levels - 1) - self.mean) / self.std

    def test_batches(self, size: int = 500) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (normalized pictures, labels) of the test set in order."""
        for first in range(0, len(self.pictures.test), size):
            part = slice(first, first + size)
            yield self.normalized(self.pictures.test[part]), self.pictures.test_labels[part]

    def batches(self, seed: int, size: int, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalized training batches of the steps from ``start`` to ``stop``; a pure function of seed and step.

        Every epoch is a new order of all training pictures; a batch may span two.
        """
        count = len(self.pictures.train)
        for step in range(start, stop):
            numbers = range(step * size, (step + 1) * size)
            index = torch.tensor([_order(seed, number // count, count)[number % count] for number in numbers])
            x = self.normalized(self.pictures.train[index])
            if self.augmented:
                x = shifted_and_flipped(x, generator("classifier", "augmentation", seed, step))
            yield x, self.pictures.train_labels[index]


def labelled(source: str) -> Labelled:
    """Return the pictures of ``source`` (pipeline/studies/small_pictures.py); those of CIFAR-10 are augmented."""
    pictures = small_pictures(source)
    channels = [pictures.train[:, channel].double() / (pictures.levels - 1) for channel in range(pictures.shape[0])]
    mean, std = (
        torch.stack([kind(one) for one in channels]).float()[:, None, None] for kind in (torch.mean, torch.std)
    )
    return Labelled(pictures, mean, std, augmented=source != DIGITS)


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=generator("classifier", "order", seed, epoch)).tolist()
    return order


def shifted_and_flipped(x: Tensor, source: torch.Generator) -> Tensor:
    """Return crops of ``x`` ``(B, C, S, S)`` padded by 4 pixels of 0, the mean; half of them are flipped sideways."""
    size = x.shape[-1]
    padded = F.pad(x, [_PAD] * 4)
    corners = torch.randint(2 * _PAD + 1, (len(x), 2), generator=source).tolist()
    crops = [one[:, top : top + size, left : left + size] for one, (top, left) in zip(padded, corners, strict=True)]
    flips = torch.rand(len(x), generator=source) < 0.5
    return torch.where(flips[:, None, None, None], torch.stack(crops).flip(-1), torch.stack(crops))
