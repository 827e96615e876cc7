"""Networks with a bounded Lipschitz constant: convolutions whose operator norm is capped, and an activation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpectralConv2d(nn.Module):
    """A zero-padded convolution whose norm, as a map of pictures of ``size`` (H, W), is at most ``coefficient``.

    The norm is that of the operator itself (Gouk et al. 2018; i-ResNet, Behrmann et al. 2019), by power iteration on
    the convolution and its transpose. Weights below the coefficient are left as they are. Smaller pictures have a
    smaller norm, larger ones may exceed it. The singular vectors follow the weights only in ``update``: call
    ``update_lipschitz`` after every step of an optimizer, and once more, to convergence, before the network is used.
    """

    left: Tensor
    right: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, coefficient: float, size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.coefficient = coefficient
        self.padding = kernel // 2
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        bound = 1 / math.sqrt(in_channels * kernel**2)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))
        self.register_buffer("left", torch.zeros(1, out_channels, *size))
        self.register_buffer("right", _unit(torch.randn(1, in_channels, *size)))
        self.update()

    @torch.no_grad()
    def update(self, iterations: int = 200, tolerance: float = 1e-3) -> None:
        """Iterate until the norm changes by less than ``tolerance``, relative, or for so many iterations."""
        last = 0.0
        for _ in range(iterations):
            self.left.copy_(_unit(F.conv2d(self.right, self.weight, padding=self.padding)))
            self.right.copy_(_unit(F.conv_transpose2d(self.left, self.weight, padding=self.padding)))
            norm = float(self.norm())
            if abs(norm - last) <= tolerance * norm:
                break
            last = norm

    def norm(self) -> Tensor:
        """Return the operator norm of the raw weights, as far as the iteration has come (never above it); scalar."""
        return (self.left * F.conv2d(self.right, self.weight, padding=self.padding)).sum()

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in, H, W)`` to ``(B, out, H, W)``."""
        factor = (self.coefficient / self.norm()).clamp(max=1.0)
        return F.conv2d(x, self.weight * factor, self.bias, padding=self.padding)


class LipSwish(nn.Module):
    """x * sigmoid(b x) / 1.1 with a learned b > 0: its slope is at most 1 (Residual Flow, Chen et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(0.5))  # b = softplus(raw)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation, shaped as ``x``."""
        return x * torch.sigmoid(x * F.softplus(self.raw)) / 1.1


class LipschitzNet(nn.Sequential):
    """Convolutions with LipSwish between them, from ``channels`` to ``channels``.

    ``kernels``: their sizes; 3, 1, 3 in Residual Flows. ``activation_first``: also one before the first. ``lipschitz``
    bounds the constant of all of it, as far as power iteration has converged.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernels: Sequence[int],
        coefficient: float,
        size: tuple[int, int],
        activation_first: bool = True,
    ) -> None:
        widths = [channels, *[hidden] * (len(kernels) - 1), channels]
        layers: list[nn.Module] = []
        for (before, after), kernel in zip(itertools.pairwise(widths), kernels, strict=True):
            layers += [LipSwish(), SpectralConv2d(before, after, kernel, coefficient, size)]
        super().__init__(*layers[0 if activation_first else 1 :])
        self.lipschitz = coefficient ** len(kernels)


def update_lipschitz(network: nn.Module, iterations: int = 200, tolerance: float = 1e-3) -> None:
    """Let every capped convolution of ``network`` follow its weights; see ``SpectralConv2d.update``."""
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            module.update(iterations, tolerance)


def _unit(x: Tensor) -> Tensor:
    return x / torch.linalg.vector_norm(x).clamp(min=torch.finfo(x.dtype).tiny)
