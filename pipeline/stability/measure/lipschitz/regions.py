"""Where a bound holds: everywhere, or for values and raw parameters within limits."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from torch import Tensor

Interval = tuple[float, float]
ANY: Interval = (-math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class Region:
    """All inputs with |x| <= ``radius`` in every entry, at which each raw parameter lies in its interval.

    For an inverse, the radius is that of y. Paper B's Lemma 6: its [a, b] and the closed intervals over which g and t
    are bounded.
    """

    radius: float
    raw: tuple[Interval, ...]

    @classmethod
    def everywhere(cls, parameters: int) -> Region:
        """Return the region without limits."""
        return cls(math.inf, (ANY,) * parameters)

    @classmethod
    def around(cls, x: Tensor, raw: Tensor, parameters: int, margin: float = 1.0) -> Region:
        """Return the smallest region that holds ``x`` and ``raw`` ``(B, parameters * C, H, W)``, times ``margin``.

        ``margin``: 1 or more, the radius and the width of the intervals are multiplied by it.
        """
        each = raw.detach().unflatten(1, (-1, parameters)).unbind(2)
        intervals = [(float(part.min()), float(part.max())) for part in each]
        grown = tuple(
            (low - more, high + more) for low, high in intervals for more in [(margin - 1) * (high - low) / 2]
        )
        return cls(margin * float(x.detach().abs().max()), grown)


class Derivatives(NamedTuple):
    """Bounds of |derivative| by the input and by each raw parameter."""

    slope: float
    parameters: tuple[float, ...]


def largest(interval: Interval) -> float:
    """Return the largest absolute value in it."""
    return max(abs(interval[0]), abs(interval[1]))


def times(a: float, b: float) -> float:
    """Return a * b of two bounds, where 0 * inf is 0: what cannot change adds nothing, however steep."""
    return 0.0 if a == 0 or b == 0 else a * b


def sigmoid(x: float) -> float:
    """Return the logistic function, also of infinities."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
