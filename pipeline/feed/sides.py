"""Pictures and the inputs that belong to them, cropped together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import DataError
from pipeline.feed.equalization import Equalized
from pipeline.feed.manifest import Split, read_manifest
from pipeline.feed.shards import Pictures
from pipeline.feed.side import Side
from pipeline.pictures import Pixels

_SHOWN = 5  # names in one message


class Pairs:
    """Targets, and for each of them the picture of the same id on every input side.

    Inputs are smaller than their target by ``scale`` (1: low light; 2, 4, 8: published low-resolution files).
    A target's size need not be a multiple of ``scale``: its input then has the size rounded up, as MATLAB's
    imresize makes it, or down; crops keep to what both cover. With no inputs these are the targets alone.

    DataError if a target lacks an input, or the sizes of two do not fit.
    """

    def __init__(self, target: Side, inputs: Sequence[Side] = (), scale: int = 1) -> None:
        self.target, self.scale = target, scale if inputs else 1
        self.ids = target.ids
        self._inputs = [(side, _places(self.ids, side.ids)) for side in inputs]
        self._shapes = [target.shape(index) for index in range(len(target))]
        small = [[side.shape(place) for place in places] for side, places in self._inputs]
        for shapes in small:
            self._check_sizes(shapes)
        for shapes in small:
            self._shapes = [
                (min(height, scale * h), min(width, scale * w))
                for (height, width), (h, w) in zip(self._shapes, shapes, strict=True)
            ]

    def _check_sizes(self, small: list[tuple[int, int]]) -> None:
        wrong = [
            f"'{name}': {target[0]} x {target[1]} and {given[0]} x {given[1]}"
            for name, target, given in zip(self.ids, self._shapes, small, strict=True)
            if any(abs(t - g * self.scale) >= self.scale for t, g in zip(target, given, strict=True))
        ]
        if wrong:
            raise DataError(
                f"sizes of target and input that do not fit at scale {self.scale}: {_abridged(wrong)}; "
                "make the pairs equal in size times the scale and prepare them again"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def shape(self, index: int) -> tuple[int, int]:
        """Return (height, width) of what all sides of a pair cover, in pixels of the target."""
        return self._shapes[index]

    def crop(self, index: int, top: int, left: int, height: int, width: int) -> tuple[Pixels, ...]:
        """Return the target's crop ``(height, width, 3)`` and of every input the same place, smaller by the scale.

        ValueError if it would leave a picture, or if a number is not a multiple of the scale.
        """
        box = (top, left, height, width)
        if any(number % self.scale for number in box):
            raise ValueError(f"crop {height} x {width} at ({top}, {left}) is not on the grid of scale {self.scale}")
        small = [number // self.scale for number in box]
        return self.target.crop(index, *box), *(side.crop(places[index], *small) for side, places in self._inputs)


def open_pairs(manifest_path: Path | str, split: Split, scale: int = 1, equalized: bool = False) -> Pairs:
    """Return the targets of a prepared data set, with their inputs where the data set stores such.

    ``equalized`` adds the inputs once more, histogram-equalised, as LLFlow's encoder wants them.

    DataError if anything is missing, damaged or does not fit.
    """
    target = Pictures(manifest_path, split)
    if not equalized and not read_manifest(Path(manifest_path)).of(split, "input"):
        return Pairs(target)
    given = Pictures(manifest_path, split, "input")
    return Pairs(target, [given, Equalized(given)] if equalized else [given], scale)


def _places(ids: Sequence[str], given: Sequence[str]) -> list[int]:
    """Return where each of ``ids`` is in ``given``; by name, for two folders need not sort alike."""
    place = {name: index for index, name in enumerate(given)}
    lacking = [f"'{name}'" for name in ids if name not in place]
    if lacking:
        raise DataError(f"targets without an input of the same name: {_abridged(lacking)}; prepare the pairs again")
    return [place[name] for name in ids]


def _abridged(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
