"""Random flips and quarter turns, the same for all sides of a pair; the only file that uses albumentations.

albumentations is in its last release under a free licence; behind this one class it can be replaced.
"""

from __future__ import annotations

import os

from pipeline.pictures import Pixels
from pipeline.seeds import seed_of

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network at import

_QUARTER_TURNS = (0, 1, 3)  # 0, 90 and 270 degrees, as in the published training (no half turn)


class Augmentation:
    """Horizontal flip with probability 1/2 and a turn by 0, 90 or 270 degrees, each equally likely."""

    def __init__(self, flips: bool, rotations: bool) -> None:
        import albumentations  # half a second, which who reads crops as they are need not wait for

        self._flips, self._rotations = flips, rotations
        self._flip, self._turn = albumentations.HorizontalFlip(), albumentations.RandomRotate90()

    def __call__(self, name: tuple[str | int, ...], *sides: Pixels) -> tuple[Pixels, ...]:
        """Return one picture, or those of a pair, ``(H, W, 3)``; what is drawn depends on ``name`` alone.

        The sides may differ in size (high and low resolution); all get the same flip and turn. What is returned
        may be a view of what was given.

        The choice is made from a hash here and only carried out by the library: its ``Compose`` draws from a
        stream that goes on, which would differ with the number of workers and after a resume, and setting that
        stream anew for each sample costs ten times what flip and turn do.
        """
        drawn = seed_of("augmentation", *name)
        flip, turn = drawn & 1, _QUARTER_TURNS[(drawn >> 1) % len(_QUARTER_TURNS)]
        if self._flips and flip:
            sides = tuple(self._flip.apply(side) for side in sides)
        if self._rotations and turn:
            sides = tuple(self._turn.apply(side, factor=turn) for side in sides)
        return sides
