"""What a metric is: a number per picture, how the numbers of all pictures become one, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from pipeline.errors import DataError
from pipeline.metrics.lpips_net import LpipsNet, load_lpips
from pipeline.pictures import Pixels

T = TypeVar("T")
Aspect = Literal["draws", "estimates"]  # what a kind of restoration is judged by, see pipeline/kinds/contract.py
ESTIMATES = (
    "latent_mean",
    "draws_mean",
    "latent_mean_gain",
    "draws_mean_gain",
)  # metrics/estimates.py says what they are


class NotComputable(Exception):
    """The metric has no value for this picture; the text is the reason that stands beside the null."""


@dataclass(frozen=True)
class DrawStatistics:
    """What sample wrote down about one draw before clamping it to [0, 1] (docs/architecture.md, samples.json)."""

    nonfinite_values: int  # NaN or infinite
    outside_values: int  # finite, outside [-0.5, 1.5]


@dataclass(frozen=True)
class Picture:
    """One reference picture and its restorations, as they were written.

    ``reference`` is ``(H, W, 3)`` uint8 RGB, ``draws`` ``(M, H, W, 3)`` uint8; ``statistics`` has M entries, None
    for a restoration that never was anything but 8-bit (the baseline). ``estimates``: those of ESTIMATES that there
    are, ``(H, W, 3)`` uint8. ``lpips`` is the network, or why there is none.
    """

    name: str
    reference: Pixels
    draws: Pixels
    estimates: Mapping[str, Pixels]
    scale: int
    statistics: tuple[DrawStatistics, ...] | None
    lpips: LpipsNet | str
    _results: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        types = {pixels.dtype for pixels in (self.reference, self.draws, *self.estimates.values())}
        if types != {np.dtype(np.uint8)}:
            raise ValueError(f"{self.name}: metrics take uint8, got {sorted(map(str, types))}")
        if self.draws.ndim != 4 or self.draws.shape[1:] != self.reference.shape or self.reference.shape[-1] != 3:
            raise ValueError(f"{self.name}: draws {self.draws.shape} do not match {self.reference.shape}")
        for name, pixels in self.estimates.items():
            if name not in ESTIMATES or pixels.shape != self.reference.shape:
                raise ValueError(f"{self.name}: estimate {name} {pixels.shape} does not match {self.reference.shape}")
        if self.statistics is not None and len(self.statistics) != len(self.draws):
            raise ValueError(f"{self.name}: {len(self.statistics)} statistics of {len(self.draws)} draws")

    def once(self, compute: Callable[[Picture], T]) -> T:
        """Return ``compute(self)``, computed at most once: several metrics build on the same LPIPS maps."""
        if compute not in self._results:
            self._results[compute] = compute(self)
        return self._results[compute]


def example() -> tuple[Picture, Picture]:
    """Return a well and a badly restored picture, 64x64, scale 4, two draws each: noise of 2 and of 40 levels."""
    rows, columns = np.mgrid[0:64, 0:64] / 64
    waves = [np.sin(9 * rows + 4 * k) * np.cos(7 * columns * (k + 1)) for k in range(3)]
    reference = (127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)
    return _noisy(reference, 2.0, outside=0), _noisy(reference, 40.0, outside=7)


def _noisy(reference: Pixels, sigma: float, outside: int) -> Picture:
    noise = np.random.default_rng(7).normal(0.0, sigma, (2, *reference.shape))
    draws = (reference + noise).round().clip(0, 255).astype(np.uint8)
    statistics = (DrawStatistics(0, outside), DrawStatistics(0, 0))
    return Picture("waves", reference, draws, dict.fromkeys(ESTIMATES, draws[0]), 4, statistics, _example_lpips())


def _example_lpips() -> LpipsNet | str:
    try:
        return load_lpips()
    except DataError as error:
        return str(error)


@dataclass(frozen=True)
class Metric:
    """One column of the evaluation.

    ``per_picture`` returns a finite number or raises NotComputable; ``summarise`` turns those of all pictures into
    the one that stands in metrics.json. ``aspect``: only kinds of restoration that are judged by it have this column;
    None: all of them. ``example`` returns a better and a worse picture.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    per_picture: Callable[[Picture], float]
    summarise: Callable[[Sequence[float]], float]
    aspect: Aspect | None = None
    example: Callable[[], tuple[Picture, Picture]] = example


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return math.fsum(values) / len(values)


def smallest(values: Sequence[float]) -> float:
    """Return the smallest value."""
    return float(min(values))


def total(values: Sequence[float]) -> float:
    """Return the sum: of zeros and ones, a count."""
    return math.fsum(values)
