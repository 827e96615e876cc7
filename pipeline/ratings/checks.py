"""Attention checks: pictures whose right answer is known, which tell a rater who does not look."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.pictures import Pixels
from pipeline.ratings.blinding import Check

ALLOWED_SHARE = 0.25  # of wrong answers to checks; who has more is left out


def broken(reference: Pixels, source: np.random.Generator) -> Pixels:
    """Return ``reference`` ``(H, W, 3)`` uint8 with an artifact that nobody overlooks: a black and a saturated patch.

    They look as explosions do (paper A, Fig. 1), a quarter of the height and width each.
    """
    picture = reference.copy()
    height, width = picture.shape[0] // 4, picture.shape[1] // 4
    for colour in ((0, 0, 0), (255, 0, 255)):
        top = int(source.integers(0, picture.shape[0] - height + 1))
        left = int(source.integers(0, picture.shape[1] - width + 1))
        picture[top : top + height, left : left + width] = colour
    return picture


# sort -> (original, source of random numbers) -> what is shown; a clean one has no artifact, a broken one has
CHECKS: dict[Check, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "clean": lambda reference, source: reference,
    "broken": broken,
}
