"""Random flips and quarter turns, the same for both sides of a pair; the only file that uses albumentations.

albumentations is in its last release under a free licence; behind this one function it can be replaced.
"""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.seeds import seed_of

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network at import
import albumentations

Pixels = NDArray[np.uint8]
_QUARTER_TURNS = (0, 1, 3)  # 0, 90 and 270 degrees, as in the published training (no half turn)


class _QuarterTurn(albumentations.RandomRotate90):
    def get_params(self) -> dict[str, Any]:
        return {"factor": self.py_random.choice(_QUARTER_TURNS)}


class Augmentation:
    """Horizontal flip with probability 1/2 and a turn by 0, 90 or 270 degrees, each equally likely."""

    def __init__(self, flips: bool, rotations: bool) -> None:
        chosen = [albumentations.HorizontalFlip(p=0.5)] * flips + [_QuarterTurn(p=1.0)] * rotations
        # The two sides of a pair may differ in size (high and low resolution); a flip or a turn fits both.
        self._compose = albumentations.Compose(chosen, additional_targets={"other": "image"}, is_check_shapes=False)
        self._does_nothing = not chosen

    def __call__(self, name: tuple[str | int, ...], *sides: Pixels) -> tuple[Pixels, ...]:
        """Return one picture, or the two of a pair, ``(H, W, 3)``; what is drawn depends on ``name`` alone.

        The generators are set anew for every sample: a stream that goes on would differ with the number of
        workers, and after a resume. All transforms share them: ``Compose.set_random_seed`` would give each its
        own, all seeded alike, and a flip would then decide which turn follows.
        """
        if self._does_nothing:
            return sides
        seed = seed_of("augmentation", *name)
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        keys = ("image", "other")[: len(sides)]
        drawn = self._compose(**dict(zip(keys, sides, strict=True)))
        return tuple(drawn[key] for key in keys)
