"""Training crops as a pure function of (seed, step, rank), and the fixed crops of the held-out pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import ConfigError, DataError
from pipeline.feed.ahead import made_ahead
from pipeline.feed.augment import Augmentation
from pipeline.feed.side import Side
from pipeline.feed.sides import Pairs
from pipeline.pictures import Pixels


class CropLoader:
    """Random training crops, uint8; of pairs, the same crop of every side.

    The samples of the whole training are numbered: sample ``n = step * batch + j``. Worker ``rank`` of
    ``world_size`` makes ``j = rank, rank + world_size, ...``, so all workers together make what one would.

    An epoch holds each picture as often as crops fit into it side by side, ``(H // crop) * (W // crop)``, in an
    order shuffled by (seed, epoch): large pictures are seen in proportion to their area, and every picture is
    seen. Where the crop lies, and how it is flipped and turned, depends on (seed, epoch, place in the epoch).
    Nothing depends on what was asked for before; a resumed training continues by asking for its next step.

    ``crop`` is in pixels of the target; inputs that are smaller by a scale are cropped on their own grid.

    ConfigError if ``batch`` (the setting ``asked``) cannot be shared evenly, or ``crop`` is no multiple of the pairs'
    scale; DataError if a picture is smaller than the crop.
    """

    def __init__(
        self,
        pictures: Side | Pairs,
        crop: int,
        batch: int,
        seed: int,
        flips: bool,
        rotations: bool,
        rank: int = 0,
        world_size: int = 1,
        asked: str = "training.batch",
    ) -> None:
        if batch % world_size:
            raise ConfigError(
                f"{asked} {batch} cannot be shared evenly by {world_size} workers; "
                f"choose a multiple of {world_size}, or other runtime.workers"
            )
        self._pairs = pictures if isinstance(pictures, Pairs) else Pairs(pictures)
        if crop % self._pairs.scale:
            raise ConfigError(
                f"data.crop {crop} is not a multiple of the scale {self._pairs.scale}; choose one that is"
            )
        self._crop, self._seed = crop, seed
        self.batch_size, self.rank, self.world_size = batch, rank, world_size
        self._augment = Augmentation(flips, rotations)
        count = len(self._pairs)
        self._occurrences = np.repeat(np.arange(count), [self._fitting(index) for index in range(count)])
        self._orders: dict[int, NDArray[np.int64]] = {}

    def _fitting(self, index: int) -> int:
        height, width = self._pairs.shape(index)
        if min(height, width) < self._crop:
            raise DataError(
                f"picture '{self._pairs.ids[index]}' of {height} x {width} is smaller than the training crop "
                f"of {self._crop} x {self._crop}; choose a smaller data.crop or leave the picture out"
            )
        return (height // self._crop) * (width // self._crop)

    @property
    def epoch_length(self) -> int:
        """Number of samples in an epoch."""
        return len(self._occurrences)

    def batch(self, step: int) -> torch.Tensor:
        """Return this worker's share ``(batch / world_size, 3, crop, crop)`` of the targets of ``step``, uint8."""
        return self.paired_batch(step)[0]

    def paired_batch(self, step: int) -> tuple[torch.Tensor, ...]:
        """Return this worker's share of all sides: the targets, then every input (smaller by the scale), uint8."""
        first = step * self.batch_size
        samples = range(first + self.rank, first + self.batch_size, self.world_size)
        drawn = [self._sample(number) for number in samples]
        return tuple(_stack(side) for side in zip(*drawn, strict=True))

    def _sample(self, number: int) -> tuple[Pixels, ...]:
        epoch, place = divmod(number, self.epoch_length)
        index = int(self._order(epoch)[place])
        height, width = self._pairs.shape(index)
        name, grid = (self._seed, epoch, place), self._pairs.scale
        draw = np.random.default_rng(name)
        top = int(draw.integers((height - self._crop) // grid + 1)) * grid
        left = int(draw.integers((width - self._crop) // grid + 1)) * grid
        return self._augment(name, *self._pairs.crop(index, top, left, self._crop, self._crop))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            shuffled = np.random.default_rng((self._seed, epoch)).permutation(self._occurrences)
            # A batch may span two epochs; older orders are not asked for again.
            self._orders = {key: order for key, order in self._orders.items() if key == epoch - 1} | {epoch: shuffled}
        return self._orders[epoch]

    def batches(self, start: int, stop: int) -> Iterator[torch.Tensor]:
        """Yield ``batch(start)`` ... ``batch(stop - 1)``, made ahead in a thread."""
        return made_ahead(self.batch, start, stop)

    def paired_batches(self, start: int, stop: int) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield ``paired_batch(start)`` ... ``paired_batch(stop - 1)``, made ahead in a thread."""
        return made_ahead(self.paired_batch, start, stop)


def _stack(crops: tuple[Pixels, ...]) -> torch.Tensor:
    """Return ``(B, 3, H, W)`` of pictures ``(H, W, 3)``; plane by plane, several times faster than at once."""
    height, width, channels = crops[0].shape
    stacked = np.empty((len(crops), channels, height, width), np.uint8)
    for planes, crop in zip(stacked, crops, strict=True):
        for channel in range(channels):
            planes[channel] = crop[..., channel]
    return torch.from_numpy(stacked)


def validation_crops(pictures: Side, crop: int, per_picture: int, multiple: int) -> list[tuple[str, Pixels]]:
    """Return named crops ``(h, w, 3)`` of held-out pictures alone; ``validation_pairs`` says which."""
    return [(name, sides[0]) for name, sides in validation_pairs(Pairs(pictures), crop, per_picture, multiple)]


def validation_pairs(pairs: Pairs, crop: int, per_picture: int, multiple: int) -> list[tuple[str, tuple[Pixels, ...]]]:
    """Return named crops of held-out pairs, target first; the same arguments give the same crops.

    Sides are the largest multiples of ``multiple`` that neither ``crop`` nor the picture exceeds. One crop
    lies in the centre and has the picture's name; several are spread evenly over a grid, without overlap if
    they fit, and are named ``<picture>-1``, ``<picture>-2``... A picture no larger than one crop gives one.
    All lie on the grid of the pairs' scale.

    DataError if a picture, ConfigError if ``crop`` is smaller than ``multiple`` (made a common
    multiple with the scale).
    """
    multiple = math.lcm(multiple, pairs.scale)
    if crop < multiple:
        raise ConfigError(f"data.validation_crop {crop} is smaller than {multiple}, which the network needs")
    crops = []
    for index, name in enumerate(pairs.ids):
        full = pairs.shape(index)
        if min(full) < multiple:
            raise DataError(f"picture '{name}' of {full[0]} x {full[1]} is smaller than {multiple}, which is needed")
        height, width = (min(crop, side) // multiple * multiple for side in full)
        places = _places(full, (height, width), per_picture, pairs.scale)
        for number, (top, left) in enumerate(places, 1):
            crop_name = name if len(places) == 1 else f"{name}-{number}"
            crops.append((crop_name, pairs.crop(index, top, left, height, width)))
    return crops


def _places(full: tuple[int, int], size: tuple[int, int], count: int, step: int) -> list[tuple[int, int]]:
    """Return up to ``count`` different (top, left), multiples of ``step``, on rows x columns that overlap least."""

    def overlap(rows: int, columns: int) -> tuple[int, int, int]:
        covered = [min(1.0, full[axis] / (cells * size[axis])) for axis, cells in ((0, rows), (1, columns))]
        return -round(1000 * covered[0] * covered[1]), rows * columns, abs(rows - columns)

    grids = [(rows, math.ceil(count / rows)) for rows in range(1, count + 1)]
    rows, columns = min(grids, key=lambda grid: overlap(*grid))
    tops, lefts = (_spread((full[axis] - size[axis]) // step, cells) for axis, cells in ((0, rows), (1, columns)))
    return [(top * step, left * step) for top in tops for left in lefts][:count]


def _spread(room: int, count: int) -> list[int]:
    """Return ``count`` positions from 0 to ``room``, or the middle for one; equal ones once."""
    if count == 1:
        return [room // 2]
    return sorted({round(place * room / (count - 1)) for place in range(count)})
