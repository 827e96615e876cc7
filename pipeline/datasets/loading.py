"""Training crops as a pure function of (seed, step, rank), and the fixed crops of the held-out pictures."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.datasets.augment import Augmentation
from pipeline.datasets.shards import Pictures
from pipeline.errors import ConfigError, DataError

_AHEAD = 4  # batches made before they are asked for


class CropLoader:
    """Random training crops, uint8.

    The samples of the whole training are numbered: sample ``n = step * batch + j``. Worker ``rank`` of
    ``world_size`` makes ``j = rank, rank + world_size, ...``, so all workers together make what one would.

    An epoch holds each picture as often as crops fit into it side by side, ``(H // crop) * (W // crop)``, in an
    order shuffled by (seed, epoch): large pictures are seen in proportion to their area, and every picture is
    seen. Where the crop lies, and how it is flipped and turned, depends on (seed, epoch, place in the epoch).
    Nothing depends on what was asked for before; a resumed training continues by asking for its next step.

    ConfigError if ``batch`` cannot be shared evenly; DataError if a picture is smaller than the crop.
    """

    def __init__(
        self,
        pictures: Pictures,
        crop: int,
        batch: int,
        seed: int,
        flips: bool,
        rotations: bool,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch % world_size:
            raise ConfigError(
                f"training.batch {batch} cannot be shared evenly by {world_size} workers; "
                f"choose a multiple of {world_size}, or other runtime.workers"
            )
        self._pictures, self._crop, self._seed = pictures, crop, seed
        self.batch_size, self.rank, self.world_size = batch, rank, world_size
        self._augment = Augmentation(flips, rotations)
        self._occurrences = np.repeat(np.arange(len(pictures)), [self._fitting(i) for i in range(len(pictures))])
        self._orders: dict[int, NDArray[np.int64]] = {}

    def _fitting(self, index: int) -> int:
        height, width = self._pictures.shape(index)
        if min(height, width) < self._crop:
            raise DataError(
                f"picture '{self._pictures.ids[index]}' of {height} x {width} is smaller than the training crop "
                f"of {self._crop} x {self._crop}; choose a smaller data.crop or leave the picture out"
            )
        return (height // self._crop) * (width // self._crop)

    @property
    def epoch_length(self) -> int:
        """Number of samples in an epoch."""
        return len(self._occurrences)

    def batch(self, step: int) -> torch.Tensor:
        """Return this worker's share ``(batch / world_size, 3, crop, crop)`` of the batch of ``step``, uint8."""
        first = step * self.batch_size
        samples = range(first + self.rank, first + self.batch_size, self.world_size)
        crops = np.stack([self._sample(number) for number in samples])
        return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))

    def _sample(self, number: int) -> NDArray[np.uint8]:
        epoch, place = divmod(number, self.epoch_length)
        index = int(self._order(epoch)[place])
        height, width = self._pictures.shape(index)
        name = (self._seed, epoch, place)
        draw = np.random.default_rng(name)
        top = int(draw.integers(height - self._crop + 1))
        left = int(draw.integers(width - self._crop + 1))
        crop = self._pictures.crop(index, top, left, self._crop, self._crop)
        return self._augment(name, crop)[0]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            shuffled = np.random.default_rng((self._seed, epoch)).permutation(self._occurrences)
            # A batch may span two epochs; older orders are not asked for again.
            self._orders = {key: order for key, order in self._orders.items() if key == epoch - 1} | {epoch: shuffled}
        return self._orders[epoch]

    def batches(self, start: int, stop: int) -> Iterator[torch.Tensor]:
        """Yield ``batch(start)`` ... ``batch(stop - 1)``, made ahead in a thread.

        An error of the thread is raised here. The thread ends with the iteration, also when it is left early.
        """
        ready: queue.Queue[torch.Tensor | BaseException] = queue.Queue(_AHEAD)
        left = threading.Event()

        def put(item: torch.Tensor | BaseException) -> None:
            while not left.is_set():
                try:
                    return ready.put(item, timeout=0.1)
                except queue.Full:
                    continue

        def work() -> None:
            try:
                for step in range(start, stop):
                    if left.is_set():
                        return
                    put(self.batch(step))
            except BaseException as error:  # whatever it is, the consumer must hear of it
                put(error)

        thread = threading.Thread(target=work, name="crops", daemon=True)
        thread.start()
        try:
            for _ in range(start, stop):
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            left.set()
            thread.join()


def validation_crops(
    pictures: Pictures, crop: int, per_picture: int, multiple: int
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return named crops ``(h, w, 3)`` of the held-out pictures; the same arguments give the same crops.

    Sides are the largest multiples of ``multiple`` that neither ``crop`` nor the picture exceeds. One crop
    lies in the centre and has the picture's name; several are spread evenly over a grid, without overlap if
    they fit, and are named ``<picture>-1``, ``<picture>-2``... A picture no larger than one crop gives one.

    DataError if a picture, ConfigError if ``crop`` is smaller than ``multiple``.
    """
    if crop < multiple:
        raise ConfigError(f"data.validation_crop {crop} is smaller than {multiple}, which the network needs")
    crops = []
    for index, name in enumerate(pictures.ids):
        full = pictures.shape(index)
        if min(full) < multiple:
            raise DataError(f"picture '{name}' of {full[0]} x {full[1]} is smaller than {multiple}, which is needed")
        height, width = (min(crop, side) // multiple * multiple for side in full)
        places = _places(full, (height, width), per_picture)
        for number, (top, left) in enumerate(places, 1):
            crop_name = name if len(places) == 1 else f"{name}-{number}"
            crops.append((crop_name, pictures.crop(index, top, left, height, width)))
    return crops


def _places(full: tuple[int, int], size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Return up to ``count`` different (top, left) on the grid of rows x columns that overlaps least."""

    def overlap(rows: int, columns: int) -> tuple[int, int, int]:
        covered = [min(1.0, full[axis] / (cells * size[axis])) for axis, cells in ((0, rows), (1, columns))]
        return -round(1000 * covered[0] * covered[1]), rows * columns, abs(rows - columns)

    grids = [(rows, math.ceil(count / rows)) for rows in range(1, count + 1)]
    rows, columns = min(grids, key=lambda grid: overlap(*grid))
    tops, lefts = (_spread(full[axis] - size[axis], cells) for axis, cells in ((0, rows), (1, columns)))
    return [(top, left) for top in tops for left in lefts][:count]


def _spread(room: int, count: int) -> list[int]:
    """Return ``count`` positions from 0 to ``room``, or the middle for one; equal ones once."""
    if count == 1:
        return [room // 2]
    return sorted({round(place * room / (count - 1)) for place in range(count)})
