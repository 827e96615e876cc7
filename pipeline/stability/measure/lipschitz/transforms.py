"""How fast an elementwise transform c(x; h) changes with its input and with each raw parameter, in a region.

A coupling's Jacobian is [[I, 0], [M, D]] with D = diag(dc/dx) and M the sum over raw parameters p of
diag(dc/dh_p) J_p, J_p being the Jacobian of what the net says for p. What is returned bounds |dc/dx| and |dc/dh_p|,
for c and for its inverse, elementwise.

**Affine**, s = least + span * sigma(raw + offset) with sigma' = sigma (1 - sigma) <= 1/4:

| | of x | of t | of the raw scale |
|---|---|---|---|
| x s + t (paper B, eq. 4) | s | 1 | \\|x\\| s' |
| its inverse (y - t) / s | 1/s | 1/s | (\\|y\\| + \\|t\\|) (1/s)' |
| (x + t) s (Glow, SRFlow) | s | s | (\\|x\\| + \\|t\\|) s' |
| its inverse y / s - t | 1/s | 1 | \\|y\\| (1/s)' |

These are Lemma 6's c_g, c_g', c_(1/g), c_(1/g)' and c_t. In terms of p = sigma, (1/s)' is span p (1 - p) /
(least + span p)^2, which has one maximum, at p = least / (span + 2 least): its derivative has the sign of
least - (span + 2 least) p. For s = 0.5 + 0.5 sigma the constants are 1, 1/8, 2 and 1/4; for s = sigma 1/s has no
bound. In the raw scale's column stands |x|: without a limit to it there is no bound, however tight the scale is.

Splines: see splines.py beside this file.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from models.flow.transforms import (
    Additive,
    Affine,
    CertifiedSpline,
    RangedAffine,
    RationalQuadraticSpline,
    Shield,
    Transform,
)
from pipeline.stability.measure.lipschitz.regions import Derivatives, Interval, Region, largest, sigmoid, times
from pipeline.stability.measure.lipschitz.splines import spline


@functools.singledispatch
def forward_derivatives(transform: Transform | Shield, region: Region) -> Derivatives:
    """Return bounds for y = c(x; h), |x| within the region's radius; inf where there is none."""
    return Derivatives(transform.derivative_bounds()[1], (math.inf,) * transform.parameters_per_channel)


@functools.singledispatch
def inverse_derivatives(transform: Transform | Shield, region: Region) -> Derivatives:
    """Return bounds for x = c^-1(y; h), |y| within the region's radius; inf where there is none."""
    least = transform.derivative_bounds()[0]
    return Derivatives(1.0 / least if least else math.inf, (math.inf,) * transform.parameters_per_channel)


@forward_derivatives.register
@inverse_derivatives.register
def _(transform: Additive, region: Region) -> Derivatives:
    return Derivatives(1.0, (1.0,))


@forward_derivatives.register
def _(transform: Affine | RangedAffine, region: Region) -> Derivatives:
    scale, (t, raw) = _Scale.of(transform), region.raw
    most, steepest = scale.most(raw), scale.steepest(raw)
    if scale.shift_first:
        return Derivatives(most, (most, times(region.radius + largest(t), steepest)))
    return Derivatives(most, (1.0, times(region.radius, steepest)))


@inverse_derivatives.register
def _(transform: Affine | RangedAffine, region: Region) -> Derivatives:
    scale, (t, raw) = _Scale.of(transform), region.raw
    most, steepest = scale.most_inverse(raw), scale.steepest_inverse(raw)
    if scale.shift_first:
        return Derivatives(most, (1.0, times(region.radius, steepest)))
    return Derivatives(most, (most, times(region.radius + largest(t), steepest)))


class _Scale(NamedTuple):
    """s = least + span * sigma(raw + offset) and its extremes for a raw scale in an interval."""

    least: float
    span: float
    offset: float
    shift_first: bool

    @classmethod
    def of(cls, transform: Affine | RangedAffine) -> _Scale:
        if isinstance(transform, Affine):
            return cls(transform.eps, 1.0, 2.0, True)
        return cls(transform.least, transform.most - transform.least, transform.offset, transform.shift_first)

    def most(self, raw: Interval) -> float:
        return self.least + self.span * sigmoid(raw[1] + self.offset)

    def steepest(self, raw: Interval) -> float:
        nearest = max(raw[0] + self.offset, min(0.0, raw[1] + self.offset))
        return self.span * sigmoid(nearest) * sigmoid(-nearest)

    def most_inverse(self, raw: Interval) -> float:
        least = self.least + self.span * sigmoid(raw[0] + self.offset)
        return 1.0 / least if least > 0 else math.inf

    def steepest_inverse(self, raw: Interval) -> float:
        if self.span == 0:
            return 0.0
        low, high = (sigmoid(end + self.offset) for end in raw)
        p = max(low, min(self.least / (self.span + 2.0 * self.least), high))
        s = self.least + self.span * p
        return self.span * p * (1.0 - p) / s**2 if s > 0 else math.inf


@forward_derivatives.register
def _(transform: RationalQuadraticSpline | CertifiedSpline, region: Region) -> Derivatives:
    return spline(transform, region).forward()


@inverse_derivatives.register
def _(transform: RationalQuadraticSpline | CertifiedSpline, region: Region) -> Derivatives:
    return spline(transform, region).inverse()
