"""Lipschitz constants of the nets inside of couplings: products of the norms of their layers.

**A convolution with zero padding** of pictures of (H, W) pixels is A = R C E: E puts the picture into a torus of
(H + p, W + p) pixels, p the padding, and fills it up with zeros, C convolves on the torus, R cuts the picture out
again. Around the edge C meets nothing but those zeros. E and R do not lengthen anything, so |A| <= |C|, and C is
block diagonal in the Fourier basis: |C| is the largest norm of the (out, in) matrix of any frequency. This is a bound
from above without any iteration to converge, unlike power iteration, which approaches |A| from below; on pictures much
larger than the kernel the two differ by little. Small operators are decomposed whole, so that their norm is exact.

ActNorm and Glow's exp(3 logs) are folded into the convolution before them. ReLU has slope 1 at most.

The condition is held fixed: the constants are those with respect to what passes the coupling.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.layers.actnorm import ActNorm
from models.flow.layers.conditional_net import ConditionalNet, ZeroConv2d

Size = tuple[int, int]  # rows, columns
_WHOLE = 256  # values in and out up to which an operator is decomposed whole


class NetConstants(NamedTuple):
    """Lipschitz constants of a net's outputs: of each kind of raw parameter alone, and of all of them together."""

    each: tuple[float, ...]
    together: float

    @classmethod
    def unknown(cls, parameters: int) -> NetConstants:
        """Return what is known of a net that no rule knows."""
        return cls((math.inf,) * parameters, math.inf)


@functools.singledispatch
def net_constants(net: nn.Module, parameters: int, size: Size) -> NetConstants:
    """Return the constants of ``net`` with ``parameters`` raw parameters per channel, side by side, on such pictures.

    A net that no rule knows has none (inf): register one.
    """
    return NetConstants.unknown(parameters)


@net_constants.register
def _(net: ConditionalNet, parameters: int, size: Size) -> NetConstants:
    if net.from_x is None:
        return NetConstants((0.0,) * parameters, 0.0)
    first = scaled(net.from_x.weight, net.norm1)
    trunk = conv_norm(first, size) * conv_norm(scaled(net.mix.weight, net.norm2), size)
    return last_layer(zero_conv_weight(net.out), parameters, size, trunk)


def last_layer(weight: Tensor, parameters: int, size: Size, trunk: float = 1.0) -> NetConstants:
    """Return the constants of a net that ends in this convolution (or matrix) after a ``trunk`` of that constant."""
    each = tuple(trunk * conv_norm(weight[index::parameters], size) for index in range(parameters))
    return NetConstants(each, trunk * conv_norm(weight, size))


def zero_conv_weight(layer: ZeroConv2d) -> Tensor:
    """Return the weight that Glow's last convolution applies, ``(out, in, 3, 3)``."""
    factors: Tensor = (3.0 * layer.logs.detach().double()).exp().view(-1, 1, 1, 1)
    return layer.conv.weight.detach().double() * factors


def scaled(weight: Tensor, norm: ActNorm) -> Tensor:
    """Return the weight of a convolution or matrix with the ActNorm behind it."""
    factors = norm.capped_log_scale().detach().double().exp().flatten()
    return weight.detach().double() * factors.view(-1, *[1] * (weight.ndim - 1))


def conv_norm(weight: Tensor, size: Size) -> float:
    """Return a bound of the norm of a convolution ``(out, in, k, k)``, padded by k // 2 zeros, or of a matrix.

    ``size``: of the pictures that it maps. Exact for a matrix, a 1x1 convolution and small pictures.
    """
    weight = weight.detach().double()
    if weight.ndim == 2 or weight.shape[2:] == (1, 1):
        return _largest(weight.reshape(weight.shape[0], -1))
    pixels = size[0] * size[1]
    if max(weight.shape[:2]) * pixels <= _WHOLE:
        return _largest(_operator(weight, size))
    padding = weight.shape[2] // 2
    # |C| does not change with where the kernel lies on the torus, nor with its being conjugated
    kernels = torch.fft.rfft2(weight, s=[max(side + padding, weight.shape[2]) for side in size])
    blocks = kernels.flatten(2).permute(2, 0, 1)
    gram = blocks @ blocks.mH if weight.shape[0] <= weight.shape[1] else blocks.mH @ blocks
    return math.sqrt(max(0.0, float(torch.linalg.eigvalsh(gram).max())))


def _operator(weight: Tensor, size: Size) -> Tensor:
    """Return the convolution as a matrix (inputs, outputs)."""
    values = weight.shape[1] * size[0] * size[1]
    basis = torch.eye(values, dtype=weight.dtype, device=weight.device).view(values, weight.shape[1], *size)
    return F.conv2d(basis, weight, padding=weight.shape[2] // 2).flatten(1)


def _largest(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, 2)) if matrix.numel() else 0.0
