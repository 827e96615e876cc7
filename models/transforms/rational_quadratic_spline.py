"""Paper A's modified rational-quadratic spline (section 3.3, appendix A.2), free of cancellation.

Two bins on the box (-bound, bound), identity outside, one free knot (x_k, y_k) of slope d, slope 1 at
both edges, then a shift t:

    a = width of the left bin, b = its height, both in (eps, 1 - eps) of the box; d = eps + (1 - eps) e^v

Both bins are measured from their outer edge, where the slope is 1: the right bin is the left one
reflected, so one formula with d0 = 1 (edge) and d1 = d (knot) serves both. With theta in [0, 1] the
distance from the edge in widths, q = theta (1 - theta) and D = height / width (Durkan et al. 2019, eq. 4):

    f(theta) = height * (D theta^2 + q) / den,   den = D (1 - 2 q) + (1 + d) q

Every term of den is >= 0 because q <= 1/4, so nothing cancels. For the inverse, with zeta = the distance
in heights,

    p = (1 - zeta) - d zeta,   r^2 = p^2 + 4 D^2 zeta (1 - zeta)

r^2 is the textbook discriminant over height^2, written as a sum of squares: it cannot be negative, so
there is nothing to assert. theta = 2 D zeta / (2 D zeta + (p + r)), where p + r is computed without
cancellation as 4 D^2 zeta (1 - zeta) / (r - p) when p < 0.

The displacement |c^-1(y) - (y - t)| is at most the box; the slope between the knots is not bounded by
anything useful (see docs/equations.md), and t is free.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.transforms.transform import Transform

# exp(v) overflows float32 at v = 88; slopes beyond e^±20 are outside what float32 can invert anyway.
_V_LIMIT = 20.0


@dataclasses.dataclass(frozen=True)
class RationalQuadraticSpline(Transform):
    """c(x; w, h, v, t) as above; raw parameters per channel: w, h, v, t. All zeros: the identity.

    ``bound``: half the side of the box. ``eps``: least bin width and height (share of the box), and
    least knot slope. Raises ValueError unless bound > 0 and 0 < eps < 0.5.
    """

    parameters_per_channel: ClassVar[int] = 4
    bound: float = 0.5
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

    def _knot(self, w: Tensor, h: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the left bin's width and height and the knot's slope."""
        side, span = 2.0 * self.bound, 1.0 - 2.0 * self.eps
        width = side * (self.eps + span * torch.sigmoid(w))
        height = side * (self.eps + span * torch.sigmoid(h))
        slope = self.eps + (1.0 - self.eps) * v.clamp(-_V_LIMIT, _V_LIMIT).exp()
        return width, height, slope

    def _forward(self, x: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        w, h, v, t = raw
        left_width, left_height, d = self._knot(w, h, v)
        # Clamped first: outside of the box the formulas see its edge, and their gradients stay finite.
        inner = x.clamp(-self.bound, self.bound)
        left = inner < left_width - self.bound
        width = torch.where(left, left_width, 2.0 * self.bound - left_width)
        height = torch.where(left, left_height, 2.0 * self.bound - left_height)
        theta = (torch.where(left, inner + self.bound, self.bound - inner) / width).clamp(max=1.0)
        ratio = height / width
        rest = 1.0 - theta
        q = theta * rest
        den = ratio * (1.0 - 2.0 * q) + (1.0 + d) * q
        distance = height * (ratio * theta.square() + q) / den
        y = torch.where(left, distance - self.bound, self.bound - distance)
        # eq. 5: derivative = D^2 (d1 theta^2 + 2 D q + d0 (1 - theta)^2) / den^2
        slope = d * theta.square() + 2.0 * ratio * q + rest.square()
        log_derivative = 2.0 * (ratio.log() - den.log()) + slope.log()
        inside = x.abs() < self.bound
        return torch.where(inside, y, x) + t, torch.where(inside, log_derivative, 0.0)

    def _inverse(self, y: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        w, h, v, t = raw
        left_width, left_height, d = self._knot(w, h, v)
        u = y - t
        inner = u.clamp(-self.bound, self.bound)
        left = inner < left_height - self.bound
        width = torch.where(left, left_width, 2.0 * self.bound - left_width)
        height = torch.where(left, left_height, 2.0 * self.bound - left_height)
        zeta = (torch.where(left, inner + self.bound, self.bound - inner) / height).clamp(max=1.0)
        ratio = height / width
        p = (1.0 - zeta) - d * zeta
        cross = 4.0 * ratio.square() * zeta * (1.0 - zeta)
        # r > 0: p = 0 needs zeta in (0, 1), and there cross > 0.
        r = (p.square() + cross).sqrt()
        large = r + p.abs()
        p_plus_r = torch.where(p >= 0, large, cross / large)
        theta = 2.0 * ratio * zeta / (2.0 * ratio * zeta + p_plus_r)
        distance = width * theta
        x = torch.where(left, distance - self.bound, self.bound - distance)
        q = theta * (1.0 - theta)
        den = ratio * (1.0 - 2.0 * q) + (1.0 + d) * q
        log_derivative = den.log() - ratio.log() - r.log()
        inside = u.abs() < self.bound
        return torch.where(inside, x, u), torch.where(inside, log_derivative, 0.0)
