"""Paper A's modified rational-quadratic spline (section 3.3, appendix A.2).

Two bins on the box (-bound, bound), identity outside, one free knot (x_k, y_k) of slope d, slope 1 at
both edges, then a shift t:

    a = width of the left bin, b = its height, both in (eps, 1 - eps) of the box; d = eps + (1 - eps) e^v

models/flow/transforms/two_bins.py evaluates and inverts it. The displacement |c^-1(y) - (y - t)| is at most the
box; the slope between the knots is bounded by nothing useful, and t is free.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from models.flow.transforms import two_bins
from models.flow.transforms.two_bin_spline import TwoBinSpline

# exp(v) overflows float32 at v = 88; slopes beyond e^±20 are outside what float32 can invert anyway.
_V_LIMIT = 20.0


@dataclasses.dataclass(frozen=True)
class RationalQuadraticSpline(TwoBinSpline):
    """c(x; w, h, v, t) as above; raw parameters per channel: w, h, v, t. All zeros: the identity.

    ``bound``: half the side of the box. ``eps``: least bin width and height (share of the box), and
    least knot slope. Raises ValueError unless bound > 0 and 0 < eps < 0.5.
    """

    eps: float = 1e-3

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise ValueError(f"rational_quadratic_spline: bound must be positive, got {self.bound}")
        if not 0 < self.eps < 0.5:
            raise ValueError(f"rational_quadratic_spline: eps must be in (0, 0.5), got {self.eps}")

    @classmethod
    def examples(cls) -> list[Self]:
        """Return the published box and a wider one with a larger eps."""
        return [cls(), cls(bound=3.0, eps=0.05)]

    def derivative_bounds(self) -> tuple[float, float]:
        """Return what the least bin and the limit on v imply; far from useful, as the paper's spline has no cap."""
        steepest = (1.0 - self.eps) / self.eps
        flattest_knot, steepest_knot = (self.eps + (1.0 - self.eps) * math.exp(v) for v in (-_V_LIMIT, _V_LIMIT))
        least, _ = two_bins.slope_range((1.0, steepest_knot), 1.0 / steepest)
        _, most = two_bins.slope_range((1.0, flattest_knot), steepest)
        return min(least, flattest_knot), max(most, steepest_knot)

    def displacement_bound(self) -> float:
        """Return inf: t is free."""
        return math.inf

    def displacement_within(self, values: tuple[Tensor, Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the range of t, widened by what the knot's range allows.

        The left bin [-bound, knot_x] becomes [-bound, knot_y]: values there rise by bound + knot_y at most and fall by
        bound + knot_x; in the right bin they rise by bound - knot_x at most and fall by bound - knot_y.
        """
        (least_x, least_y), (largest_x, largest_y) = (self._knot(*raw[:, :3].unbind(1))[:2] for raw in (low, high))
        rise = self.bound + torch.maximum(largest_y, -least_x)
        fall = self.bound + torch.maximum(largest_x, -least_y)
        return low[:, 3] - fall, high[:, 3] + rise

    @property
    def _span(self) -> float:
        """Return the length that the knot's places fill."""
        return 2.0 * self.bound * (1.0 - 2.0 * self.eps)

    def _squashed(self, w: Tensor, h: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.sigmoid(w) - 0.5, torch.sigmoid(h) - 0.5, v.clamp(-_V_LIMIT, _V_LIMIT).exp_()

    def _knot_of(self, w: Tensor, h: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._span * w, self._span * h, self.eps + (1.0 - self.eps) * v

    def _shift(self, t: Tensor) -> Tensor:
        return t

    def _to_raw(
        self, raw: Sequence[Tensor], squashed: Sequence[Tensor], slope: Tensor, by: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        (_, _, v, _), (left, below, raised) = raw, squashed
        by_x, by_y, by_slope, by_t = by
        quarter = left.new_full((), 0.25 * self._span)  # sigmoid' = 1/4 - (sigmoid - 1/2)^2
        of_w, of_h = (
            by * torch.addcmul(quarter, place, place, value=-self._span) for by, place in ((by_x, left), (by_y, below))
        )
        of_v = by_slope.mul(raised).mul_(1.0 - self.eps)
        return of_w, of_h, two_bins.inside(of_v, v, _V_LIMIT), by_t
