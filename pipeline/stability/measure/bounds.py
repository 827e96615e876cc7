"""What can be stated of a network for every input: how steep its couplings are, how large its output can get.

Sizes are measured by the largest Euclidean norm over channels at any pixel: orthogonal 1x1 convolutions and
squeezes keep it, a coupling adds at most its displacement times the root of its channels, ActNorm, learned 1x1
convolutions and Split's prior multiply it by factors that are fixed once trained (and capped by ``Caps``).
Nothing here depends on what the nets inside of the couplings compute: that is the point.

Not bounded is how fast the output changes with the latent across couplings: it depends on those nets.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from models.flow.bijection import At, Bijection, Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import BoundedConv1x1, FixedOrthogonalConv1x1, InvertibleConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow

# Bicubic enlargement (a = -0.75) of pictures in [0, 1]: halfway between pixels an axis has positive weights of 1.1875
# in all and negative ones of -0.1875, and the products of equal sign are positive.
_BICUBIC_PEAK = 1.1875**2 + 0.1875**2


class Amplification(NamedTuple):
    """Bounds that hold for every condition and every latent whose entries are at most ``latent`` in size."""

    least_slope: float  # of every coupling and injector, elementwise
    largest_slope: float
    displacement: float  # of every coupling and injector, elementwise
    value: float  # of every value of the output; inf if a layer has no bound


def amplification_bound(network: Bijection, latent: float) -> Amplification:
    """Return what is certain of ``network`` for latents with entries in [-latent, latent].

    ``network``: a super-resolution or low-light flow; their inputs are pictures in [0, 1].
    """
    transforms = {module.transform for module in network.modules() if isinstance(module, Coupling | Injector)}
    least, most = zip(*(transform.derivative_bounds() for transform in transforms), strict=True)
    channels = network.latent_shape(network.multiple, network.multiple)[0]  # type: ignore[operator]
    return Amplification(
        min(least),
        max(most),
        max(transform.displacement_bound() for transform in transforms),
        inverse_norm(network, latent * math.sqrt(channels)),
    )


@functools.singledispatch
def inverse_norm(layer: Bijection, norm: float) -> float:
    """Return a bound of the norm at every pixel of ``layer.inverse(z)``, given one of z's; inf if unknown."""
    return math.inf


@inverse_norm.register
def _(layer: Chain, norm: float) -> float:
    for inner in reversed(layer._layers()):
        norm = inverse_norm(inner, norm)
    return norm


@inverse_norm.register
def _(layer: At, norm: float) -> float:
    return inverse_norm(layer.inner, norm)


@inverse_norm.register
def _(layer: Squeeze | FixedOrthogonalConv1x1, norm: float) -> float:
    return norm


@inverse_norm.register
def _(layer: BoundedConv1x1, norm: float) -> float:
    return norm * _largest((-layer.log_factors()).exp())


@inverse_norm.register
def _(layer: InvertibleConv1x1, norm: float) -> float:
    least = float(torch.linalg.svdvals(layer.weight.detach().double())[-1])
    return norm / least if least > 0 else math.inf


@inverse_norm.register
def _(layer: ActNorm, norm: float) -> float:
    bias = layer.bias.detach().double()
    return norm * _largest((-layer.capped_log_scale().double()).exp()) + float(bias.norm())


@inverse_norm.register
def _(layer: Coupling, norm: float) -> float:
    # c^-1 moves a value no farther than c does
    return norm + layer.transform.displacement_bound() * math.sqrt(layer.transformed)


@inverse_norm.register
def _(layer: Injector, norm: float) -> float:
    return norm + layer.transform.displacement_bound() * math.sqrt(layer.transformed)


@inverse_norm.register
def _(layer: Split, norm: float) -> float:
    caps = layer.caps
    if math.isinf(caps.prior_mean) or math.isinf(caps.prior_log_scale):
        return math.inf
    early = caps.prior_mean * math.sqrt(layer.consumed) + math.exp(caps.prior_log_scale) * norm
    return math.hypot(inverse_norm(layer.rest, norm), early)


@inverse_norm.register
def _(layer: SuperResolutionFlow, norm: float) -> float:
    base = min(_BICUBIC_PEAK, 1.0 + layer.overshoot) if layer.residual else 0.0
    return inverse_norm(layer.flow, norm) + base * math.sqrt(3)


@inverse_norm.register
def _(layer: LowLightFlow, norm: float) -> float:
    # the latent's mean lies in (0, 1)
    return inverse_norm(layer.flow, norm + math.sqrt(layer.latent_shape(8, 8)[0]))


def _largest(values: Tensor) -> float:
    return float(values.detach().max())
