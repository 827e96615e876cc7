"""Our certified spline: paper A's two bins with every slope in [1/L, L] by construction, and a bounded shift.

The knot's slope and both bins' slopes (height over width) are parametrized inside of a certified rectangle:

    d in [1 / M, M], M = sqrt(L);   bin slopes in [lo, hi], 1 / sqrt(L) <= lo < 1 < hi

Why every slope is then in [1/L, L] (docs/certified-spline.md proves each step):

- At each theta, f' grows with the bin's slope D, so D = lo and D = hi decide.
- A maximum inside of a bin falls when the smaller end slope grows, so among d <= 1 it is worst at d = 1 / M;
  for d >= 1 it is at most 2 hi^2 / (hi + 1), its exact value at d = 1. ``hi`` is where the worst one is L.
- A minimum inside of a bin falls when the larger end slope grows, so among d >= 1 it is worst at d = M;
  for d <= 1, f' >= min(d, D^2) >= 1/L because D >= 1 / sqrt(L). ``lo`` is where the worst one is 1/L.

The knots for which both bins' slopes lie in [lo, hi] form a parallelogram in the box. In half boxes from the
centre it is spanned by (p, p hi) and (r, r lo), p = (1 - lo) / (hi - lo), r = 1 - p, so that two saturating
coordinates reach all of it and nothing else:

    x_k = p tanh(w) + r tanh(h),   y_k = p hi tanh(w) + r lo tanh(h),   d = M^tanh(v)

With L = 4: d in [1/2, 2] and bins in [0.51, 2.57]. The shift is t = shift * tanh(raw / shift).

**How far the box lets a value move** (``box_displacement``, in sides of the box, the shift left out). Let a bin have
width W and slope D, the other one slope D': W D + (1 - W) D' = 1, so that for D >= 1

    W = (1 - D') / (D - D') <= (1 - lo) / (D - lo),   and for D <= 1:   W <= (hi - 1) / (hi - D)

In the left bin c rises above the identity by W (f / W - theta), theta measured from the edge. At fixed theta f / W
grows with D (0 <= df/dH <= 1: pipeline/stability/measure/lipschitz/splines.py) and falls as d grows, since d stands in
den alone, with a positive factor. So there

    c(x) - x <= max over D in [1, hi] of (1 - lo) / (D - lo) * departure(D, 1/M)

and a bin with D < 1 does no more than one with D = 1. The right bin is a left one reflected, where c(x) > x means
f / W < theta:

    c(x) - x <= max over D in [lo, 1] of (hi - 1) / (hi - D) * departure(D, M)

By reflection x - c(x) is bounded likewise, and |c^-1(y) - y| is |x - c(x)| at x = c^-1(y). Both are maxima over one D,
found by halving intervals, on which each factor is largest at one end. They are attained: by the corner of the
parallelogram where D = hi meets D' = lo, with d = M. L = 4: 0.401 of the side.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

from models.flow.transforms import two_bins
from models.flow.transforms.two_bin_spline import TwoBinSpline

# Share of the box below which no bin shrinks: the rounding of its width stays far below its margin to lo and hi.
_LEAST = 1e-3
_FAR = 1.0  # a bound of the shift beyond which what _tanh is off by would show: of 1e6 it would be 0.3
_GAP = 1e-4  # by which a maximum that is found by halving intervals may be too large


@dataclasses.dataclass(frozen=True)
class CertifiedSpline(TwoBinSpline):
    """c(x; w, h, v, t) as above; raw parameters per channel: w, h, v, t. All zeros: the identity.

    ``bound``: half the side of the box. ``lipschitz``: L, the bound of c' and of the inverse's slope.
    ``shift``: the bound of |t|. Raises ValueError unless bound > 0, lipschitz > 1 and shift > 0, all finite.
    """

    lipschitz: float = 10.0
    shift: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("bound", 0.0), ("lipschitz", 1.0), ("shift", 0.0)):
            value = getattr(self, name)
            if not (value > least and math.isfinite(value)):
                raise ValueError(f"certified_spline: {name} must be finite and greater than {least:g}, got {value}")

    @classmethod
    def examples(cls) -> list[Self]:
        """Return the default, a tight bound, and a wide box with a loose one."""
        return [cls(), cls(lipschitz=1.5, shift=0.2), cls(bound=3.0, lipschitz=50.0, shift=4.0)]

    def derivative_bounds(self) -> tuple[float, float]:
        """Return (1/L, L); float32 keeps it to a few units in the last place."""
        return 1.0 / self.lipschitz, self.lipschitz

    def displacement_bound(self) -> float:
        """Return a bound of |c(x) - x| and |c^-1(y) - y|, nearly attained: the shift plus what the box allows."""
        return self.shift + 2.0 * self.bound * box_displacement(self.lipschitz)

    def displacement_within(self, values: tuple[Tensor, Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the range of the shift, widened by what the box allows."""
        most = 2.0 * self.bound * box_displacement(self.lipschitz)
        least, largest = (self._shift(raw[:, self.shift_place]) for raw in (low, high))
        return least - most, largest + most

    def centring_shift(self, x: Tensor) -> Tensor:
        """Return -x, held to what the shift can be: beyond it the tangent saturates and passes no gradient."""
        return -x.clamp(-self.shift, self.shift)

    @property
    def _spans(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return (p, p hi) and (r, r lo): how far each of the two coordinates moves the knot."""
        low, high = bin_slopes(self.lipschitz)
        half = self.bound * (1.0 - 2.0 * _LEAST)
        p = half * (1.0 - low) / (high - low)
        return (p, p * high), (half - p, (half - p) * low)

    def _squashed(self, w: Tensor, h: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _tanh(w), _tanh(h), _tanh(v)

    def _knot_of(self, w: Tensor, h: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        steep, flat = self._spans
        knot_x, knot_y = ((one * w).add_(h, alpha=other) for one, other in zip(steep, flat, strict=True))
        return knot_x, knot_y, (v * self._log_slope).exp_()

    @property
    def _log_slope(self) -> float:
        """Return log M."""
        return 0.5 * math.log(self.lipschitz)

    def _shift(self, t: Tensor) -> Tensor:
        if self.shift > _FAR:
            return self.shift * torch.tanh(t / self.shift)
        return _tanh(t, self.shift, self.shift)

    def _to_raw(
        self, raw: Sequence[Tensor], squashed: Sequence[Tensor], slope: Tensor, by: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        by_x, by_y, by_slope, by_t = by
        of_w, of_h = ((one * by_x).add_(by_y, alpha=other) for one, other in self._spans)
        of_v = by_slope.mul(slope).mul_(self._log_slope)
        tangents = *squashed, _tanh(raw[3], self.shift)
        # tanh' = 1 - tanh^2
        return tuple(
            torch.addcmul(of, of * t, t, value=-1.0) for of, t in zip((of_w, of_h, of_v, by_t), tangents, strict=True)
        )


def _tanh(values: Tensor, width: float = 1.0, height: float = 1.0) -> Tensor:
    """Return height * tanh(values / width), off by 3e-7 of height at most in float32, however small v is.

    tanh(v) = 2 sigmoid(2 v) - 1: torch's own tanh takes five times as long on a processor.
    """
    return torch.add(values.new_full((), -height), torch.sigmoid(values * (2.0 / width)), alpha=2.0 * height)


@functools.cache
def bin_slopes(lipschitz: float) -> tuple[float, float]:
    """Return the largest interval of bin slopes (lo, hi) for knot slopes in [L^-1/2, L^1/2]; see the module."""
    knot = math.sqrt(lipschitz)
    low = _bisect(lambda ratio: two_bins.slope_range((1.0, knot), ratio)[0] >= 1.0 / lipschitz, 1.0, 1.0 / knot)
    high = _bisect(lambda ratio: two_bins.slope_range((1.0, 1.0 / knot), ratio)[1] <= lipschitz, 1.0, lipschitz)
    return low, high


@functools.cache
def box_displacement(lipschitz: float) -> float:
    """Return the largest |c(x) - x| of a spline without shift, in sides of the box; see the module."""
    low, high = bin_slopes(lipschitz)
    knot = math.sqrt(lipschitz)

    def above(least: float, most: float) -> float:
        """Bound c(x) - x in left bins whose slope lies in [least, most]."""
        return (1.0 - low) / (least - low) * two_bins.departure(most, 1.0 / knot)

    def below(least: float, most: float) -> float:
        """Bound it in right bins."""
        return (high - 1.0) / (high - most) * two_bins.departure(least, knot)

    return max(_maximum(above, 1.0, high), _maximum(below, low, 1.0))


def _maximum(bound: Callable[[float, float], float], low: float, high: float) -> float:
    """Return max of ``bound(x, x)`` over [low, high], or up to _GAP more; bound(a, b) holds for all x in [a, b]."""
    reached, parts = max(bound(low, low), bound(high, high)), [(low, high)]
    while parts:
        cuts = [(a, math.sqrt(a * b), b) for a, b in parts]
        reached = max(reached, *(bound(cut, cut) for _, cut, _ in cuts))
        halves = [half for a, cut, b in cuts for half in ((a, cut), (cut, b))]
        parts = [half for half in halves if bound(*half) > reached + _GAP]
    return reached + _GAP


def _bisect(holds: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return the value nearest to ``outside`` at which a monotone condition that holds ``inside`` still holds."""
    for _ in range(60):
        middle = 0.5 * (inside + outside)
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside
