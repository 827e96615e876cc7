"""Layers at inputs where a bound is reached: nothing of its formula can be left out without its being passed."""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import nn

from models.flow.bijection import Bijection, Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.conditional_net import ConditionalNet
from models.flow.layers.coupling import Coupling
from models.flow.layers.invertible_conv import InvertibleConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.transforms import Additive, Affine, CertifiedSpline, RangedAffine
from models.lab.points import PointNet
from models.restoration.tails import Tails
from pipeline.stability.measure.jacobian import float64_copy
from pipeline.stability.measure.lipschitz.network import network_bounds
from pipeline.stability.measure.spectrum import singular_values

linear = functools.partial(PointNet, layers=0, activation=nn.ReLU)  # one matrix, no activation


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer in float64, and a point at which the way that is meant comes near its bound."""

    layer: Bijection
    x: torch.Tensor
    inverse: bool = False
    share: float = 1.0 - 1e-6  # of the local bound, reached at least


def point(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def coupling(transform, weights, biases, x, y=None, share=1.0 - 1e-6):
    """Return the case of a coupling of points whose raw parameters are weights * x1 + biases; at ``y``: its inverse."""
    layer = Coupling(2, transform, 0, 0, net=linear)
    last = layer.net.layers[0]
    with torch.no_grad():
        last.weight.copy_(torch.tensor(weights)[:, None])
        last.bias.copy_(torch.tensor(biases))
    layer = float64_copy(layer)
    where = point(*(y or x))
    return Case(layer, layer.inverse(where)[0] if y else where, bool(y), share)


def conditional_net():
    """Five factors: 2 * 3 * 0.5 * 2 * (0.7 e^0.9), on one channel and one pixel, all ReLUs open."""
    layer = Coupling(2, Additive(), 0, 1, net=ConditionalNet)
    net = layer.net
    with torch.no_grad():
        net.from_x.weight.zero_()[0, 0, 1, 1] = 2.0
        net.norm1.log_scale.fill_(math.log(3.0))
        net.mix.weight.fill_(0.5)
        net.norm2.log_scale.fill_(math.log(2.0))
        net.out.conv.weight[0, 0, 1, 1] = 0.7
        net.out.logs.fill_(0.3)
    return Case(float64_copy(layer), point(1.0, 0.0))


def neighbours():
    """A convolution that adds up three pixels of a row: every tap counts."""
    layer = Coupling(2, Additive(), 0, 1, net=ConditionalNet)
    with torch.no_grad():
        layer.net.from_x.weight.zero_()[0, 0, 1, :] = 1.0
        layer.net.mix.weight.fill_(1.0)
        layer.net.out.conv.weight[0, 0, 1, 1] = 1.0
    return Case(float64_copy(layer), torch.ones(1, 2, 1, 9, dtype=torch.float64))


def split(mean, logs, x, eps=None):
    """Return the case of a split of points whose prior is linear, (weight, bias) each; at ``eps``: its inverse."""
    layer = Split(2, Chain([]), factor=1)
    with torch.no_grad():
        layer.prior.conv.weight[:, 0, 1, 1] = torch.tensor([mean[0], logs[0]])
        layer.prior.conv.bias.copy_(torch.tensor([mean[1], logs[1]]))
    layer = float64_copy(layer)
    where = point(*(eps or x))
    return Case(layer, layer.inverse(where)[0] if eps else where, bool(eps))


def split_before_a_rest_that_shrinks(inverse=False):
    """What has left passes beside a rest that makes everything smaller: it does not shrink with it."""
    rest = Chain([Squeeze(), ActNorm(4)])
    with torch.no_grad():
        rest.layers[1].log_scale.fill_(3.0 if inverse else -3.0)
    layer = float64_copy(Split(2, rest, factor=2))
    return Case(layer, torch.ones(1, 2, 2, 2, dtype=torch.float64), inverse)


def one_by_one(inverse):
    layer = InvertibleConv1x1(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.2]]))
    return Case(float64_copy(layer), point(1.0, 1.0), inverse)


def actnorm(inverse):
    layer = ActNorm(2)
    with torch.no_grad():
        layer.log_scale.copy_(torch.tensor([1.0, -2.0]).view(1, 2, 1, 1))
    return Case(float64_copy(layer), point(1.0, 1.0), inverse)


SPLINE = CertifiedSpline(bound=0.5, lipschitz=4.0, shift=1.0)
STEEP = 1e4  # of a net: M alone counts
GLOW = RangedAffine(0.0, 1.0, 2.0, shift_first=True)
EQ_4 = RangedAffine(0.0, 1.0, 2.0)
CASES = {
    "additive": lambda: coupling(Additive(), [3.0], [0.0], (1.0, 1.0)),
    "additive, inverse": lambda: coupling(Additive(), [3.0], [0.0], None, (1.0, 1.0)),
    # the signs are such that all terms of M point the same way
    "eq. 4": lambda: coupling(EQ_4, [1.0, 2.0], [0.0, -3.0], (0.5, 5.0)),
    "eq. 4, inverse": lambda: coupling(EQ_4, [1.0, 2.0], [-4.0, -3.0], None, (0.5, 5.0)),
    "shift first": lambda: coupling(GLOW, [1.0, 2.0], [4.0, -3.0], (0.5, 5.0)),
    "shift first, inverse": lambda: coupling(GLOW, [1.0, 2.0], [4.0, -3.0], None, (0.5, 5.0)),
    "half to one": lambda: coupling(RangedAffine(), [1.0, 2.0], [0.0, -3.0], (0.5, 5.0)),
    "half to one, inverse": lambda: coupling(RangedAffine(), [1.0, 2.0], [-4.0, -3.0], None, (0.5, 5.0)),
    "srflow": lambda: coupling(Affine(eps=0.1), [1.0, 2.0], [4.0, -3.0], (0.5, 5.0)),
    "srflow, inverse": lambda: coupling(Affine(eps=0.1), [1.0, 2.0], [4.0, -3.0], None, (0.5, 5.0)),
    "a scale alone": lambda: coupling(RangedAffine(5.0, 5.0), [0.0, 0.0], [0.0, 0.0], (0.5, 5.0)),
    "a scale alone, inverse": lambda: coupling(RangedAffine(0.2, 0.2), [0.0, 0.0], [0.0, 0.0], None, (0.5, 5.0)),
    # splines: nothing but one parameter changes; the shares are what their proofs give away
    "spline, w": lambda: coupling(SPLINE, [STEEP, 0.0, 0.0, 0.0], [0.0] * 4, (0.0, 0.05), share=0.1),
    "spline, h": lambda: coupling(SPLINE, [0.0, STEEP, 0.0, 0.0], [0.0] * 4, (0.0, 0.05), share=0.03),
    "spline, v": lambda: coupling(SPLINE, [0.0, 0.0, STEEP, 0.0], [0.0] * 4, (0.0, 0.1), share=0.1),
    "spline, t": lambda: coupling(SPLINE, [0.0, 0.0, 0.0, STEEP], [0.0] * 4, (0.0, 0.1), share=0.9),
    "spline, w, inverse": lambda: coupling(SPLINE, [STEEP, 0.0, 0.0, 0.0], [0.0] * 4, None, (0.0, 0.05), share=0.1),
    "spline, h, inverse": lambda: coupling(SPLINE, [0.0, STEEP, 0.0, 0.0], [0.0] * 4, None, (0.0, 0.05), share=0.03),
    "spline, v, inverse": lambda: coupling(SPLINE, [0.0, 0.0, STEEP, 0.0], [0.0] * 4, None, (0.0, 0.1), share=0.1),
    "spline, t, inverse": lambda: coupling(SPLINE, [0.0, 0.0, 0.0, STEEP], [0.0] * 4, None, (0.0, 0.1), share=0.9),
    "spline, its slope": lambda: coupling(SPLINE, [0.0] * 4, [0.0, 0.0, 9.0, 0.0], (0.0, 0.0), share=0.9),
    "tails": lambda: Case(Tails(0.1, 0.25), point(0.5, 1.5)),
    "tails, of a picture": lambda: Case(Tails(0.1, 0.25), point(0.0, 1.0)),
    "tails, inverse": lambda: Case(Tails(0.1, 0.25), point(0.5, 1.5), inverse=True),
    "conditional net": conditional_net,
    "neighbours": lambda: dataclasses.replace(neighbours(), share=0.95),
    "split": lambda: split((1.0, -4.0), (2.0, 0.0), (0.5, 5.0)),
    "split, inverse": lambda: split((1.0, -4.0), (2.0, 0.0), None, (0.5, 5.0)),
    "split before a rest that shrinks": split_before_a_rest_that_shrinks,
    "split before a rest that shrinks, inverse": lambda: split_before_a_rest_that_shrinks(True),
    "1x1": lambda: one_by_one(False),
    "1x1, inverse": lambda: one_by_one(True),
    "actnorm": lambda: actnorm(False),
    "actnorm, inverse": lambda: actnorm(True),
}


def reached(case, scope="local", prefix=""):
    """Return the share of the bound that the largest singular value at the point is."""
    with torch.no_grad():
        z = case.layer(case.x)[0]
    values = singular_values(case.layer, z if case.inverse else case.x, inverse=case.inverse)
    way = prefix + ("inverse" if case.inverse else "forward")
    return float(values[0]) / 10.0 ** network_bounds(case.layer, case.x).log10(scope, way)
