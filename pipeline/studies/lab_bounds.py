"""Bi-Lipschitz bounds of the studies' own nets and layers: importing this registers them.

Rows of paper B's Table 3: residual block "Invertible residual layer", 1 + L and 1 / (1 - L); the learned top "Diagonal
scaling". A logit y = logit(a + (1 - 2 a) x) has the slope (1 - 2 a) / (p (1 - p)) at p = a + (1 - 2 a) x, which for
pictures in [0, 1] is largest at the ends, (1 - 2 a) / (a (1 - a)); its inverse's is largest at p = 1/2, a quarter of
1 / (1 - 2 a). ReLU and LipSwish have slope 1 at most.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from models.lab.classifier import InvertibleClassifier, PlainNet
from models.lab.glow import TopPrior
from models.lab.lipschitz import LipschitzNet, SpectralConv2d
from models.lab.logit import Logit
from models.lab.points import Constant, PointNet
from models.lab.residual import ResidualBlock
from models.lab.toy import Mlp
from pipeline.stability.measure.lipschitz.layers import Bounds, diagonal, layer_bounds
from pipeline.stability.measure.lipschitz.nets import (
    NetConstants,
    Size,
    conv_norm,
    last_layer,
    net_constants,
    scaled,
    zero_conv_weight,
)
from pipeline.stability.measure.lipschitz.walk import Node, Step, walk


@net_constants.register
def _(net: Constant, parameters: int, size: Size) -> NetConstants:
    return NetConstants((0.0,) * parameters, 0.0)


@net_constants.register
def _(net: PlainNet, parameters: int, size: Size) -> NetConstants:
    trunk = conv_norm(net.first.weight, size) * conv_norm(net.mix.weight, size)
    return last_layer(zero_conv_weight(net.out), parameters, size, trunk)


@net_constants.register
def _(net: PointNet, parameters: int, size: Size) -> NetConstants:
    weights = [layer.weight for layer in net.layers if isinstance(layer, nn.Linear)]
    return _of_weights(weights, parameters)


@net_constants.register
def _(net: Mlp, parameters: int, size: Size) -> NetConstants:
    weights = [layer.weight.detach() for layer in net.linear]
    weights[0] = weights[0][:, : net.x_channels]
    if net.norm is not None:
        weights = [scaled(weight, norm) for weight, norm in zip(weights, net.norm, strict=True)]  # type: ignore[arg-type]
    return _of_weights(weights, parameters)


@layer_bounds.register
def _(layer: TopPrior, step: Step, margin: float = 1.0) -> Bounds:
    passes = layer.logs.new_zeros(int(step.x.shape[1] > layer.logs.shape[1]))
    return diagonal(torch.cat([-layer.logs.flatten(), passes]))


@layer_bounds.register
def _(layer: ResidualBlock, step: Step, margin: float = 1.0) -> Bounds:
    lipschitz = _contraction(layer.net, (step.x.shape[2], step.x.shape[3]))
    return Bounds.same(1.0 + lipschitz, 1.0 / (1.0 - lipschitz) if lipschitz < 1 else math.inf)


@layer_bounds.register
def _(layer: Logit, step: Step, margin: float = 1.0) -> Bounds:
    a = layer.a
    return Bounds.same((1.0 - 2.0 * a) / (a * (1.0 - a)), 0.25 / (1.0 - 2.0 * a))


@walk.register
def _(layer: InvertibleClassifier, x: Tensor, condition: Any = None) -> tuple[Node, Tensor]:
    return walk(layer.flow, x)


@torch.no_grad()
def _contraction(net: LipschitzNet, size: Size) -> float:
    """Return the bound of the net's constant from its weights as they are applied."""
    norms = [
        float((module.coefficient / module.norm()).clamp(max=1.0)) * conv_norm(module.weight, size)
        for module in net
        if isinstance(module, SpectralConv2d)
    ]
    return math.prod(norms)


def _of_weights(weights: list[Tensor], parameters: int) -> NetConstants:
    trunk = math.prod(conv_norm(weight, (1, 1)) for weight in weights[:-1])
    return last_layer(weights[-1], parameters, (1, 1), trunk)
