"""Noise as out-of-distribution pictures for CIFAR-10 models, as in the experiments on exploding inverses.

Behrmann et al. (2021), figure 4. They print neither ranges nor clipping; those here are of their experiments'
code. In the network's own range, [-0.5, 0.5] for Glow and [0, 1] for the Residual Flow:

| kind       | Glow                                 | Residual Flow                       |
|------------|--------------------------------------|-------------------------------------|
| uniform    | U(0, 1) - 0.5, clipped to +-0.49     | U(0, 1)                             |
| gaussian   | N(0, 1), clipped to +-0.49           | 0.5 + N(0, 1), clipped to 0.01-0.99 |
| rademacher | -0.5 or 0.5, clipped to +-0.49       | 0 or 1                              |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.contract import DataSet, Listing, PictureSource, Wanted

COUNT = 10_000
SIDE = 32  # pixels
_SEED = 2021
Values = NDArray[np.floating]


class _Kind(NamedTuple):
    centred: Callable[[np.random.Generator, tuple[int, ...]], Values]  # around 0, not yet clipped
    clipped_in_residual_flow: bool


_KINDS = {
    "uniform": _Kind(lambda draw, shape: draw.random(shape) - 0.5, False),
    "gaussian": _Kind(lambda draw, shape: draw.standard_normal(shape), True),
    "rademacher": _Kind(lambda draw, shape: draw.integers(0, 2, shape) - 0.5, False),
}


def published_noise(kind: str, network: str, count: int, side: int = SIDE, seed: int = _SEED) -> Values:
    """Return noise ``(count, side, side, 3)`` in the range of ``network``: ``glow`` or ``residual_flow``.

    ``kind`` is ``uniform``, ``gaussian`` or ``rademacher``; KeyError for another one.
    """
    chosen = _KINDS[kind]
    values = chosen.centred(np.random.default_rng([seed, len(kind)]), (count, side, side, 3))
    if network == "glow" or chosen.clipped_in_residual_flow:
        values = values.clip(-0.49, 0.49)
    return values if network == "glow" else values + 0.5


class Noise(DataSet):
    """Noise of one kind: 10,000 pictures of 32 x 32, always the same. There is no folder; the source is ``demo``.

    Prepared pictures are 8-bit, with Glow's clipping: ``round(255 * (x + 0.5))``. ``published_noise`` gives the
    values before rounding, and those for the Residual Flow.
    """

    licence = demo_licence = "made by a program; no terms"
    splits_needed = ("validation",)

    def __init__(self, kind: str) -> None:
        self.name, self._kind = f"{kind}_noise", kind

    def demo(self) -> Listing:
        """Return the noise."""
        pixels = np.rint(255 * (published_noise(self._kind, "glow", COUNT) + 0.5)).astype(np.uint8)
        pictures = [
            PictureSource(f"{self._kind}-{number:05d}", "validation", f"noise[{number}]", picture)
            for number, picture in enumerate(pixels)
        ]
        return Listing(pictures, notes=[f"{self._kind} noise made by a program, clipped as published for Glow"])

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return a fault: noise is made, not read."""
        return Listing(faults=[f"noise is made, not read from a folder; set datasets.{self.name}.source: demo"])
