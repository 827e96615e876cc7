"""What is classified: scanned digits that need no download, or a folder of CIFAR-10 of the user's own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.config import DatasetConfig
from pipeline.datasets.check import Source
from pipeline.datasets.digits import BRIGHTEST, scanned_digits
from pipeline.datasets.prepare import prepare_source
from pipeline.datasets.sets.cifar10 import CIFAR10
from pipeline.errors import ConfigError
from pipeline.feed.shards import Pictures
from pipeline.layout import manifest_path
from pipeline.seeds import generator, seed_of

PREPARED = "study_classifier"  # the name under data/prepared
_SHARE = 0.8  # of the digits, for training
_PAD = 4  # pixels, paper B's random crops


class Split(NamedTuple):
    """Pictures ``(N, C, S, S)``, float32 in [0, 1] or uint8, and their classes ``(N,)``."""

    pictures: Tensor
    labels: Tensor


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Training and test pictures.

    ``mean``, ``std``: per channel ``(C, 1, 1)``, of all training pictures in [0, 1]. ``augmented``: training pictures
    are shifted and flipped.
    """

    train: Split
    test: Split
    mean: Tensor
    std: Tensor
    augmented: bool

    @property
    def classes(self) -> int:
        """Return how many classes there are."""
        return int(max(self.train.labels.max(), self.test.labels.max())) + 1

    @property
    def shape(self) -> tuple[int, int]:
        """Return (channels, side in pixels)."""
        return self.train.pictures.shape[1], self.train.pictures.shape[2]

    def normalized(self, pictures: Tensor) -> Tensor:
        """Return stored ``pictures`` with mean 0 and variance 1 per channel, as networks see them."""
        return (_unit(pictures) - self.mean) / self.std

    def test_batches(self, size: int = 500) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (normalized pictures, labels) of the test set in order."""
        for first in range(0, len(self.test.labels), size):
            yield self.normalized(self.test.pictures[first : first + size]), self.test.labels[first : first + size]

    def batches(self, seed: int, size: int, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalized training batches of the steps from ``start`` to ``stop``; a pure function of seed and step.

        Every epoch is a new order of all training pictures; a batch may span two.
        """
        count = len(self.train.labels)
        for step in range(start, stop):
            numbers = range(step * size, (step + 1) * size)
            index = torch.tensor([_order(seed, number // count, count)[number % count] for number in numbers])
            x = self.normalized(self.train.pictures[index])
            if self.augmented:
                x = shifted_and_flipped(x, generator("classifier", "augmentation", seed, step))
            yield x, self.train.labels[index]


def labelled(train: Split, test: Split, augmented: bool) -> Labelled:
    """Return both sets with the statistics of the first."""
    channels = [_unit(train.pictures[:, channel]).double() for channel in range(train.pictures.shape[1])]
    mean, std = (
        torch.stack([kind(one) for one in channels]).float()[:, None, None] for kind in (torch.mean, torch.std)
    )
    return Labelled(train, test, mean, std, augmented)


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=generator("classifier", "order", seed, epoch)).tolist()
    return order


def _unit(pictures: Tensor) -> Tensor:
    return pictures.float() / 255.0 if pictures.dtype == torch.uint8 else pictures


def shifted_and_flipped(x: Tensor, source: torch.Generator) -> Tensor:
    """Return crops of ``x`` ``(B, C, S, S)`` padded by 4 pixels of 0, the mean; half of them are flipped sideways."""
    size = x.shape[-1]
    padded = F.pad(x, [_PAD] * 4)
    corners = torch.randint(2 * _PAD + 1, (len(x), 2), generator=source).tolist()
    crops = [one[:, top : top + size, left : left + size] for one, (top, left) in zip(padded, corners, strict=True)]
    flips = torch.rand(len(x), generator=source) < 0.5
    return torch.where(flips[:, None, None, None], torch.stack(crops).flip(-1), torch.stack(crops))


def digits(root: Path) -> Labelled:
    """Return scikit-learn's scanned digits: 1,437 for training, 360 to test, split at random by a fixed seed.

    Pictures of one writer may be in both: the file does not say who wrote what.
    """
    values, labels = scanned_digits()
    order = np.random.default_rng(seed_of("classifier", "split")).permutation(len(labels))
    pictures = torch.from_numpy(values[order][:, None]).float() / BRIGHTEST
    classes = torch.from_numpy(labels[order])
    first = int(_SHARE * len(order))
    return labelled(Split(pictures[:first], classes[:first]), Split(pictures[first:], classes[first:]), augmented=False)


class _Folder(Source):
    """A source that an option names, not params.yaml's ``datasets``."""

    @property
    def key(self) -> str:
        """The source as the option has it."""
        return f"--source '{self.settings.source}'"


def prepare_cifar10(root: Path, source: str, allow_partial: bool) -> None:
    """Check the folder ``source`` and store its pictures under ``root``.

    Raises ConfigError if there is no such folder, DataError with all faults of its pictures.
    """
    if not (root / Path(source).expanduser()).is_dir():
        raise ConfigError(f"--source: there is no folder '{source}'; give CIFAR-10's, unpacked (docs/data.md)")
    prepare_source(PREPARED, _Folder(CIFAR10(), DatasetConfig(source=source, allow_partial=allow_partial)), root)


def cifar10(root: Path) -> Labelled:
    """Return what ``prepare_cifar10`` stored; training pictures are shifted and flipped, as the paper's."""
    manifest = manifest_path(root, PREPARED)
    train, test = (_stored(Pictures(manifest, split)) for split in ("train", "validation"))
    return labelled(train, test, augmented=True)


def _stored(pictures: Pictures) -> Split:
    stacked = np.stack([pictures.picture(number) for number in range(len(pictures))])
    return Split(torch.from_numpy(stacked.transpose(0, 3, 1, 2).copy()), torch.tensor(pictures.labels))


DATA: dict[str, Callable[[Path], Labelled]] = {"digits": digits, "cifar10": cifar10}
