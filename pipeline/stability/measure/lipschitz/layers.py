"""Bi-Lipschitz bounds of one layer at one input of a network; which row of paper B's Table 3 each rule is.

**Triangular blocks.** The Jacobian of a coupling is J = [[I, 0], [M, D]], with |M| <= m and |D| <= g. For a unit vector
(u, v), |J (u, v)|^2 <= |u|^2 + (m |u| + g |v|)^2, which is the squared length of [[1, 0], [m, g]] (|u|, |v|). So |J| is
at most the larger singular value of that 2 x 2 matrix. Its two singular values have the sum hypot(m, 1 + g) and the
difference hypot(m, 1 - g):

    |J| <= (hypot(m, 1 + g) + hypot(m, 1 - g)) / 2

It is attained, by M and D of rank one. Paper B's bound, max(1, g) + m, is larger (m = g = 1: 2 against 1.618); both are
reported. The inverse has the same shape, with M* and 1/D. A block with m = inf has no bound.

m: M is the sum over raw parameters p of diag(a_p) J_p, so |M| <= sum sup |a_p| Lip_p (the paper's M), and it is
diag-block (a_1 ... a_P) times the Jacobian of the whole net, so |M| <= sqrt(sum sup |a_p|^2) Lip. The smaller counts.

| rule | row of Table 3 |
|---|---|
| coupling, additive | "Additive coupling block" (Lemma 5): holds everywhere |
| coupling, affine | "Affine coupling block" (Lemma 6): local, but for a fixed scale |
| coupling, spline | none; see splines.py |
| split's prior | the affine block's, x (1/sigma) - mu/sigma in the order (x + t) s |
| injector, activation norm | "Diagonal scaling, ActNorm": the largest factor, and one over the smallest |
| 1x1 convolution | "Invertible 1x1 convolution": the largest and one over the smallest singular value |
| permutation, squeeze, rotation | orthogonal: 1 |
| a shield's tails | none: towards the picture 1, back 1 where all values are within their range, 1 / slope else |

Everything is for a fixed condition: an injector is a diagonal scaling then, and a coupling's net sees one half alone.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from models.flow.bijection import Bijection
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import BoundedConv1x1, FixedOrthogonalConv1x1, InvertibleConv1x1
from models.flow.layers.permutation import Permutation
from models.flow.layers.squeeze import Squeeze
from models.restoration.tails import Tails
from pipeline.stability.measure.lipschitz.nets import NetConstants, Size, last_layer, net_constants, zero_conv_weight
from pipeline.stability.measure.lipschitz.regions import Derivatives, Region, largest, times
from pipeline.stability.measure.lipschitz.transforms import forward_derivatives, inverse_derivatives
from pipeline.stability.measure.lipschitz.walk import Standardization, Step


class Bound(NamedTuple):
    """Lipschitz constants of a layer and of its inverse, and what paper B's formula makes of the same numbers."""

    forward: float
    inverse: float
    paper_forward: float
    paper_inverse: float


class Bounds(NamedTuple):
    """``everywhere``: for every input under the step's condition. ``local``: around the step's own; inf: there is none.

    Around: in the smallest region that holds the step's values and raw parameters, ``margin`` times as wide.
    """

    everywhere: Bound
    local: Bound

    @classmethod
    def same(cls, forward: float, inverse: float) -> Bounds:
        """Return a bound that holds everywhere and is the paper's as well."""
        bound = Bound(forward, inverse, forward, inverse)
        return cls(bound, bound)


@functools.singledispatch
def layer_bounds(layer: Bijection, step: Step, margin: float = 1.0) -> Bounds:
    """Return the bounds of ``layer`` at ``step``; ``margin`` is 1 or more. A layer that no rule knows has none."""
    return Bounds.same(math.inf, math.inf)


@layer_bounds.register
def _(layer: Coupling, step: Step, margin: float = 1.0) -> Bounds:
    transform, per_channel = layer.transform, layer.transform.parameters_per_channel
    with torch.no_grad():
        raw = layer.net(step.x[:, : layer.passed], step.condition)
    net = net_constants(layer.net, per_channel, _size(step.x))  # type: ignore[arg-type]
    return Bounds(
        *(
            _triangular(forward_derivatives(transform, forward), inverse_derivatives(transform, inverse), net)
            for forward, inverse in (
                (Region.everywhere(per_channel),) * 2,
                _regions(step, layer.passed, raw, per_channel, margin),
            )
        )
    )


@layer_bounds.register
def _(layer: Standardization, step: Step, margin: float = 1.0) -> Bounds:
    split, caps = layer.split, layer.split.caps
    if split.prior_range is not None:
        return Bounds.same(math.inf, math.inf)  # a shield's ellipsoid may be steeper than what it is given
    with torch.no_grad():
        raw = torch.stack(split._prior(step.x[:, : split.passed]), 2).flatten(1, 2)
    net = last_layer(zero_conv_weight(split.prior), 2, _size(step.x))  # caps make it no steeper
    everywhere = Region(math.inf, ((-caps.prior_mean, caps.prior_mean), (-math.inf, caps.prior_log_scale)))
    return Bounds(
        *(
            _triangular(_standardized(forward), _restored(inverse), net)
            for forward, inverse in ((everywhere,) * 2, _regions(step, split.passed, raw, 2, margin))
        )
    )


@layer_bounds.register
def _(layer: Injector, step: Step, margin: float = 1.0) -> Bounds:
    # the raw parameters are the condition itself, so x has no limit
    transform = layer.transform
    region = Region(math.inf, Region.around(step.x, step.condition, transform.parameters_per_channel).raw)
    return Bounds.same(forward_derivatives(transform, region).slope, inverse_derivatives(transform, region).slope)


@layer_bounds.register
def _(layer: ActNorm, step: Step, margin: float = 1.0) -> Bounds:
    return diagonal(layer.capped_log_scale())


@layer_bounds.register
def _(layer: BoundedConv1x1, step: Step, margin: float = 1.0) -> Bounds:
    return diagonal(layer.log_factors())


@layer_bounds.register
def _(layer: InvertibleConv1x1, step: Step, margin: float = 1.0) -> Bounds:
    values = torch.linalg.svdvals(layer.weight.detach().double())
    least = float(values[-1])
    return Bounds.same(float(values[0]), 1.0 / least if least > 0 else math.inf)


@layer_bounds.register
def _(layer: FixedOrthogonalConv1x1 | Permutation | Squeeze, step: Step, margin: float = 1.0) -> Bounds:
    return Bounds.same(1.0, 1.0)


@layer_bounds.register
def _(layer: Tails, step: Step, margin: float = 1.0) -> Bounds:
    least, most = float(step.x.min()), float(step.x.max())
    more = (margin - 1.0) * (most - least) / 2.0
    inside = -layer.slack <= least - more and most + more <= 1.0 + layer.slack
    everywhere = Bound(1.0 / layer.slope, 1.0, 1.0 / layer.slope, 1.0)
    return Bounds(everywhere, Bound(1.0, 1.0, 1.0, 1.0) if inside else everywhere)


def diagonal(logs: Tensor) -> Bounds:
    """Return the bounds of a scaling by factors whose logarithms are ``logs``."""
    logs = logs.detach().double()
    return Bounds.same(_exp(float(logs.max())), _exp(-float(logs.min())))


def triangular_norm(m: float, g: float) -> float:
    """Return the bound of |[[I, 0], [M, D]]| for |M| <= m and |D| <= g; see the module."""
    return 0.5 * (math.hypot(m, 1.0 + g) + math.hypot(m, 1.0 - g)) if math.isfinite(m + g) else math.inf


def _triangular(forward: Derivatives, inverse: Derivatives, net: NetConstants) -> Bound:
    tight, papers = [], []
    for slope, parameters in (forward, inverse):
        apart = sum(times(a, lipschitz) for a, lipschitz in zip(parameters, net.each, strict=True))
        together = times(math.hypot(*parameters), net.together)
        tight.append(triangular_norm(min(apart, together), slope))
        papers.append(max(1.0, slope) + apart)
    return Bound(*tight, *papers)


def _standardized(region: Region) -> Derivatives:
    mean, (least, _) = region.raw
    most = _exp(-least)
    return Derivatives(most, (most, times(region.radius + largest(mean), most)))


def _restored(region: Region) -> Derivatives:
    most = _exp(region.raw[1][1])
    return Derivatives(most, (1.0, times(region.radius, most)))


def _regions(step: Step, passed: int, raw: Tensor, parameters: int, margin: float) -> tuple[Region, Region]:
    """Return the regions around what is transformed of ``step.x`` and of ``step.z``."""
    return (
        Region.around(step.x[:, passed:], raw, parameters, margin),
        Region.around(step.z[:, passed:], raw, parameters, margin),
    )


def _size(x: Tensor) -> Size:
    return x.shape[2], x.shape[3]


def _exp(value: float) -> float:
    return math.exp(value) if value < 709.0 else math.inf
