"""The two-bin rational-quadratic spline that paper A's spline and the certified one share, and its exact slopes.

The box is [-bound, bound]; one knot lies inside it; the slope is 1 at both edges and outside. Both bins are
measured from their outer edge: the right bin is the left one reflected, so one formula with slope 1 at the
edge and d at the knot serves both. With theta in [0, 1] the distance from the edge in widths and
D = height / width (Durkan et al. 2019, eq. 4 and 5, factored):

    u = 1 + (D - 1) theta,   v = D + (d - D) theta,   den = theta u + (1 - theta) v
    f = height * theta u / den,   f' = (D / den)^2 * (theta v + (1 - theta) u)

These are means of positive numbers, so nothing cancels. For the inverse, with zeta the distance in heights,

    p = (1 - zeta) - d zeta,   r^2 = p^2 + 4 D^2 zeta (1 - zeta),   theta = 2 D zeta / (2 D zeta + p + r)

r^2 is the textbook discriminant over height^2, written as a sum of squares: it cannot be negative, so there
is nothing to assert. p + r = 4 D^2 zeta (1 - zeta) / (r + |p|) + p + |p|
avoids the cancellation where p < 0. There f' = D r / den.

``pull`` has the derivatives written out. With m = theta (1 - theta), M = theta v + (1 - theta) u, q = D / den, and the
distance a, the width W, the height H and d as variables, log f' = 2 log H + log M - 2 log den but for a constant, and

    f_a = f' = q^2 M,   f_d = -H (m / den) G,   G = theta u / den
    f_H = G + E,   E = q (m / den) (theta v - (1 - theta) u)
    W (log f')_a = 2 ((v - u) / M - (1 - 2 theta) (1 + d - 2 D) / den)
    W (log f')_H = 2 (1 / D + m / M - (1 - 2 m) / den),   (log f')_d = theta^2 / M - 2 m / den

f is homogeneous of degree 1 in (a, W, H), and f' of degree 0: f_W = -theta f_a - D E and
(log f')_W = -theta (log f')_a - D (log f')_H follow from Euler's theorem. For the inverse, c(c^-1(y)) = y gives
dx/dy = 1 / f' and dx/dp = -c_p / f' for a parameter p: with A = (g_x - g_l (log f')_x) / f' the gradient of y is A and
that of p is -A c_p - g_l (log f')_p, so the same formulas serve with -A and -g_l in the place of the two gradients.

``slope_range`` is exact. With alpha <= beta the slopes at the ends over D, s = (alpha + beta) / 2,
e = (beta - alpha) / 2, A = (1 + s) / 2, B = (1 - s) / 2 and t = 2 theta - 1 (towards the steeper end),

    f' / D = g(t) = (A + e t - B t^2) / (A + B t^2)^2

and g' = 0 gives e (A - 3 B t^2) = 2 B t (3 A - B t^2), where g = 1 / (A - 3 B t^2). With k = t sqrt(B / A)
the left condition is tan(3 arctan k) = e / sqrt(1 - s^2): one maximum if s < 1. If s > 1 it is
tanh(3 artanh k) = e / sqrt(s^2 - 1) with k = -t sqrt(-B / A): one minimum, if alpha beta > 1 and |t| <= 1.
In all other cases f' is monotone. docs/certified-spline.md derives from this:

    min(m, D^2 / M) <= f' <= max(M, 2 D^2 / (D + m)),   m and M the smaller and the larger end slope
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def forward(x: Tensor, bound: float, knot_x: Tensor, knot_y: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Return the spline at ``x`` and the log of its slope there.

    The knot (``knot_x``, ``knot_y``) inside of the box and its ``slope`` > 0 broadcast against ``x``. Outside
    of the box the spline is the identity.
    """
    # Clamped first: outside of the box the formulas see its edge, where f' = 1, and gradients stay finite.
    inner = x.clamp(-bound, bound)
    side, distance, width, height = _bin(inner, knot_x, knot_x, knot_y, bound)
    theta, ratio = distance / width, height / width
    u, v = _ends(theta, ratio, slope)
    weight = ratio / torch.lerp(v, u, theta)
    log_slope = (weight.square() * torch.lerp(u, v, theta)).log()
    risen = distance * u * weight  # height * theta * u / den
    return torch.addcmul(x - inner, side, risen - bound), log_slope


def inverse(y: Tensor, bound: float, knot_x: Tensor, knot_y: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inverse at ``y`` and the log of the inverse's slope there; arguments as in ``forward``."""
    inner = y.clamp(-bound, bound)
    side, width, ratio, theta, r = _solved(inner, bound, knot_x, knot_y, slope)
    u, v = _ends(theta, ratio, slope)
    log_slope = (torch.lerp(v, u, theta) / (ratio * r)).log()
    return torch.addcmul(y - inner, side, width * theta - bound), log_slope


def pull(
    value: Tensor, bound: float, knot: tuple[Tensor, Tensor, Tensor], by_value: Tensor, by_log: Tensor, inverse: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of the input, the knot's x, y and slope, and a shift added to the spline; see the module.

    ``by_value``, ``by_log``: the gradients of what ``forward`` or ``inverse`` returned for ``value``.
    """
    knot_x, knot_y, slope = knot
    inner = value.clamp(-bound, bound)
    if inverse:
        side, width, ratio, theta, _ = _solved(inner, bound, knot_x, knot_y, slope)
        height = ratio * width
    else:
        side, distance, width, height = _bin(inner, knot_x, knot_x, knot_y, bound)
        theta, ratio = distance.div_(width), height / width
    rest = 1.0 - theta
    u, v = _ends(theta, ratio, slope)
    by_den, mean = torch.lerp(v, u, theta).reciprocal_(), torch.lerp(u, v, theta)
    by_mean = mean.reciprocal()
    m = theta * rest
    weight, share = ratio * by_den, m * by_den
    steepness = (weight * weight).mul_(mean)  # dc/dx
    bent = torch.add(slope, ratio, alpha=-2.0).add_(1.0).mul_(rest - theta).mul_(by_den)
    log_x = inside(torch.addcmul(bent.neg_(), v - u, by_mean), value, bound)
    per_side = (2.0 * side).div_(width)
    by_theta = by_log * per_side
    if inverse:
        moved = by_value
        by_value = torch.addcmul(-by_value, by_theta, log_x).div_(steepness)
        of_x, by_log, by_theta = -by_value, -by_log, by_theta.neg_()
    else:
        of_x = moved = (by_value * steepness).addcmul_(by_theta, log_x)
    risen = (theta * u).mul_(by_den)
    turned = torch.addcmul(theta * v, rest, u, value=-1.0).mul_(weight).mul_(share)
    tall = torch.addcmul(ratio.reciprocal(), m, by_mean).add_(m.mul_(2.0).sub_(1.0).mul_(by_den)).mul_(by_theta)
    tall.addcmul_(by_value, turned)
    of_width = torch.addcmul(theta * moved if inverse else -theta * moved, ratio, tall, value=-1.0)
    of_slope = torch.addcmul(share * -2.0, theta.square_(), by_mean).mul_(by_log)
    of_slope.addcmul_(share.mul_(risen).mul_(height), by_value * side, value=-1.0)
    return of_x, of_width, tall.addcmul_(by_value, risen), of_slope, by_value


def inside(gradient: Tensor, values: Tensor, bound: float) -> Tensor:
    """Return ``gradient``, but 0 where ``values`` are outside of (-bound, bound): what clamping them passes back."""
    passed: Tensor = torch.ops.aten.hardtanh_backward(gradient, values, -bound, bound)
    return passed


def slope_range(end_slopes: tuple[float, float], ratio: float) -> tuple[float, float]:
    """Return the exact smallest and largest slope in one bin of height / width ``ratio``."""
    alpha, beta = min(end_slopes) / ratio, max(end_slopes) / ratio
    s, e = 0.5 * (alpha + beta), 0.5 * (beta - alpha)
    a = 0.5 * (1.0 + s)
    least, most = alpha, beta
    if s < 1.0:
        k = math.tan(math.atan2(e, math.sqrt(1.0 - s * s)) / 3.0)
        if k * k * a <= 1.0 - a:  # |t| <= 1
            most = max(most, 1.0 / (a * (1.0 - 3.0 * k * k)))
    elif alpha * beta > 1.0:
        k = math.tanh(math.atanh(min(e / math.sqrt(s * s - 1.0), 1.0 - 2**-53)) / 3.0)  # below 1 but for rounding
        if k * k * a <= a - 1.0:
            least = min(least, 1.0 / (a * (1.0 + 3.0 * k * k)))
    return least * ratio, most * ratio


def departure(ratio: float, slope: float) -> float:
    """Return max |f - distance| in one bin of height / width ``ratio``, in widths; ``slope``: at its inner end.

    ``slope`` must be at most 1 where ``ratio`` is 1 or more, and at least 1 where it is 1 or less. Then f' begins at 1,
    leaves it to one side, and having one extreme at most comes back to 1 once: there f is farthest.
    """
    above = ratio > 1.0 or (ratio == 1.0 and slope < 1.0)
    before, behind = 0.0, 1.0
    for _ in range(60):
        theta = 0.5 * (before + behind)
        u, v = 1.0 + (ratio - 1.0) * theta, ratio + (slope - ratio) * theta
        weight = ratio / (theta * u + (1.0 - theta) * v)
        still = (weight * weight * (theta * v + (1.0 - theta) * u) > 1.0) == above
        before, behind = (theta, behind) if still else (before, theta)
    u, v = 1.0 + (ratio - 1.0) * before, ratio + (slope - ratio) * before
    return abs(ratio * before * u / (before * u + (1.0 - before) * v) - before)


def _bin(
    value: Tensor, knot: Tensor, knot_x: Tensor, knot_y: Tensor, bound: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return of the bin that ``value`` lies in: side (left 1, right -1), distance from the edge, width, height.

    Products with the side instead of `where`, which costs several times as much.
    """
    one = value.new_ones(())
    side = torch.copysign(one, (knot - value).detach())
    edge = bound * one
    distance = torch.addcmul(edge, side, value)
    return side, distance, torch.addcmul(edge, side, knot_x), torch.addcmul(edge, side, knot_y)


def _solved(
    inner: Tensor, bound: float, knot_x: Tensor, knot_y: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return of a value of the spline: side, width and height / width of its bin, theta, and r; see the module."""
    side, distance, width, height = _bin(inner, knot_y, knot_x, knot_y, bound)
    zeta, ratio = (distance / height).clamp(max=1.0), height / width
    rest = 1.0 - zeta
    p = rest - slope * zeta
    twice = 2.0 * ratio * zeta
    cross = 2.0 * ratio * twice * rest
    # r > 0: p = 0 needs zeta in (0, 1), and there cross > 0.
    r, size = (p.square() + cross).sqrt(), p.abs()
    theta = twice / (twice + cross / (r + size) + (p + size))
    return side, width, ratio, theta, r


def _ends(theta: Tensor, ratio: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    return torch.lerp(ratio.new_ones(()), ratio, theta), torch.lerp(ratio, slope, theta)
