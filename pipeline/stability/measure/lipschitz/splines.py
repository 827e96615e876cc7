"""How fast a spline of two bins changes with its input and with each raw parameter, in a region.

The splines are those of models/flow/transforms/two_bins.py: box [-B, B], one knot (x_k, y_k) of slope d. In a bin of
width W, height H, D = H / W, theta in [0, 1] measured from the edge, q = theta (1 - theta):

    f = H theta u / den,   theta u = q + D theta^2,   den = D (1 - 2q) + (1 + d) q,   L_f = sup f',   l_f = inf f'

- *0 <= df/dH <= 1*, and so for y_k: df/dH = (D^2 theta^2 (1 - 2q) + 2 D theta^2 (1 + d) q + (1 + d) q^2) / den^2,
  and den^2 has term by term at least as much, as theta^2 <= 1 - 2q = theta^2 + (1 - theta)^2 and q <= (1 + d) q.
- *|df/dW| <= theta f' + D*, and so for x_k: f is H times a function of theta and D, so that
  df/dW = -theta f' - D (df/dH - f / H), and both terms in the bracket lie in [0, 1].
- *|df/dd| <= W / 2*: it is W D q theta u / den^2, and den^2 - 2 D q theta u is at least, with den >= D (1 - 2q) + q,
  D^2 ((1 - 2q)^2 - 2 q theta^2) + 2 D q (1 - 3q) + q^2, where (1 - 2q)^2 >= 2 q theta^2, since with
  r = (1 - theta) / theta this says (1 + r^2)^2 >= 2 r, and (1 - r)^2 + r^2 + r^4 > 0.
- *d |df/dd| <= H*: theta u <= den, as f <= H, so it is at most W D d q / den <= H d q / ((1 + d) q).
- Outside of the box all of these are 0. By reflection all holds for the right bin.

The inverse changes with a parameter by -(dc/dh_p) / c': for x_k by at most 1 + s / l_f, s the largest bin slope.
Since nothing here grows with |x|, a spline coupling with bounded slopes is bi-Lipschitz on all of the line, as an
additive one is and an affine one is not.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch

from models.flow.transforms import CertifiedSpline, RationalQuadraticSpline
from models.flow.transforms.certified_spline import bin_slopes
from pipeline.stability.measure.lipschitz.regions import Derivatives, Interval, Region, sigmoid


class Steepest(NamedTuple):
    """The extremes of a spline of two bins, and of how fast its knot moves with raw parameters."""

    slopes: tuple[float, float]  # l_f, L_f
    steepest_bin: float
    width: float  # of a bin, the largest
    height: float
    knot_by_w: tuple[float, float]  # |dx_k/dw|, |dy_k/dw|
    knot_by_h: tuple[float, float]
    slope_by_v: float  # |dd/dv|
    log_slope_by_v: float  # |dd/dv| / d

    def by_slope(self) -> float:
        """Return the bound of |df/dv|."""
        return min(0.5 * self.width * self.slope_by_v, self.height * self.log_slope_by_v)

    def forward(self) -> Derivatives:
        """Return the bounds of the spline's derivatives."""
        _, most = self.slopes
        by_x, by_y = most + self.steepest_bin, 1.0
        w, h = (by_x * x + by_y * y for x, y in (self.knot_by_w, self.knot_by_h))
        return Derivatives(most, (w, h, self.by_slope(), 1.0))

    def inverse(self) -> Derivatives:
        """Return the bounds of its inverse's derivatives."""
        least, _ = self.slopes
        by_x, by_y = 1.0 + self.steepest_bin / least, 1.0 / least
        w, h = (by_x * x + by_y * y for x, y in (self.knot_by_w, self.knot_by_h))
        return Derivatives(1.0 / least, (w, h, self.by_slope() / least, 1.0 / least))


@functools.singledispatch
def spline(transform: RationalQuadraticSpline | CertifiedSpline, region: Region) -> Steepest:
    """Return how steep ``transform`` gets in the region; the radius does not matter. TypeError for other transforms."""
    raise TypeError(f"{type(transform).__name__} has no bounds here: prove and register them beside the others")


@spline.register
def _(transform: RationalQuadraticSpline, region: Region) -> Steepest:
    w, h, v, _ = region.raw
    # x_k = span (sigma(w) - 1/2), y_k likewise; d - eps is what v multiplies
    (by_w, _, _), (_, by_h, _) = _knot(transform, math.inf, 0.0, 0.0), _knot(transform, 0.0, math.inf, 0.0)
    by_w, by_h = (2.0 * half * _steepest_sigmoid(raw) for half, raw in ((by_w, w), (by_h, h)))
    by_v = _knot(transform, 0.0, 0.0, v[1])[2] - transform.eps
    return _two_bins(transform, region, (by_w, 0.0), (0.0, by_h), by_v, 1.0)


@spline.register
def _(transform: CertifiedSpline, region: Region) -> Steepest:
    w, h, v = ((math.tanh(low), math.tanh(high)) for low, high in region.raw[:3])
    # x_k and y_k are linear in tanh(w) and tanh(h)
    along_w, along_h = (_knot(transform, *raw)[:2] for raw in ((math.inf, 0.0, 0.0), (0.0, math.inf, 0.0)))
    by_w, by_h = ((x * most, y * most) for (x, y), most in ((along_w, _steepest_tanh(w)), (along_h, _steepest_tanh(h))))
    log_m = 0.5 * math.log(transform.lipschitz)
    # d = e^(log_m tau) by v: log_m (1 - tau^2) e^(log_m tau), largest at tau = (sqrt(1 + log_m^2) - 1) / log_m
    tau = max(v[0], min((math.sqrt(1.0 + log_m**2) - 1.0) / log_m, v[1]))
    by_v = log_m * (1.0 - tau**2) * math.exp(log_m * tau)
    return _two_bins(transform, region, by_w, by_h, by_v, log_m * _steepest_tanh(v))


def _knot(transform: RationalQuadraticSpline | CertifiedSpline, w: float, h: float, v: float) -> tuple[float, ...]:
    """Return x_k, y_k and d, as the transform itself computes them; all grow with w, h and v."""
    raw = torch.tensor([w, h, v], dtype=torch.float64)
    return tuple(map(float, transform._knot(*raw.clone().unbind())))


def _two_bins(
    transform: RationalQuadraticSpline | CertifiedSpline,
    region: Region,
    knot_by_w: tuple[float, float],
    knot_by_h: tuple[float, float],
    slope_by_v: float,
    log_slope_by_v: float,
) -> Steepest:
    """Return the extremes for the knots of the region, no worse than what is certified.

    f' lies within min(m, D^2 / M) and max(M, 2 D^2 / (D + m)), m and M the smaller and the larger slope at a bin's
    ends (docs/certified-spline.md); both grow with D, the lower one falls as M grows, the upper one as m falls.
    """
    bound = transform.bound
    x, y, d = zip(*(_knot(transform, *(raw[end] for raw in region.raw[:3])) for end in (0, 1)), strict=True)
    widths, heights = (((bound + ends[0], bound + ends[1]), (bound - ends[1], bound - ends[0])) for ends in (x, y))
    flattest = min(height[0] / width[1] for width, height in zip(widths, heights, strict=True))
    steepest = max(height[1] / max(width[0], 1e-300) for width, height in zip(widths, heights, strict=True))
    if isinstance(transform, CertifiedSpline):
        low, high = bin_slopes(transform.lipschitz)
        flattest, steepest = max(flattest, low), min(steepest, high)
    small, large = min(1.0, d[0]), max(1.0, d[1])
    certain = transform.derivative_bounds()
    least = max(min(small, flattest**2 / large), certain[0])
    most = min(max(large, 2.0 * steepest**2 / (steepest + small)), certain[1])
    width, height = max(widths[0][1], widths[1][1]), max(heights[0][1], heights[1][1])
    return Steepest((least, most), steepest, width, height, knot_by_w, knot_by_h, slope_by_v, log_slope_by_v)


def _steepest_sigmoid(raw: Interval) -> float:
    nearest = max(raw[0], min(0.0, raw[1]))
    return sigmoid(nearest) * sigmoid(-nearest)


def _steepest_tanh(values: tuple[float, ...]) -> float:
    """Return the largest slope 1 - tanh^2 where tanh lies in ``values``."""
    nearest = max(values[0], min(0.0, values[1]))
    return 1.0 - nearest**2
