"""The discriminator of paper B's appendix H, and its gradient penalty."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE = 0.1  # of LeakyReLU, the released code's
_LEAST = 2  # pixels: smaller maps are not halved


def discriminator(channels: int, size: tuple[int, int], widths: Sequence[int]) -> nn.Sequential:
    """Return a network from pictures ``(B, channels, *size)`` to logits ``(B,)``, large for data.

    A 3x3 convolution for each of ``widths``, every second one halving the map down to 2 pixels, with LeakyReLU between,
    then a linear layer; all spectrally normalized (Miyato et al. 2018), that is of norm 1 as matrices of their weights.
    """
    layers: list[nn.Module] = []
    height, width = size
    for number, (before, after) in enumerate(itertools.pairwise([channels, *widths])):
        stride = 2 if number % 2 and min(height, width) > _LEAST else 1
        height, width = (height + stride - 1) // stride, (width + stride - 1) // stride
        layers += [spectral_norm(nn.Conv2d(before, after, 3, stride, padding=1)), nn.LeakyReLU(_SLOPE)]
    linear = spectral_norm(nn.Linear(widths[-1] * height * width, 1))
    return nn.Sequential(*layers, nn.Flatten(), linear, nn.Flatten(0))


def gradient_penalty(network: nn.Module, real: Tensor, fake: Tensor, shares: Tensor) -> Tensor:
    """Return E (|d network / dx| - 1)^2 at points between (Gulrajani et al. 2017), a scalar.

    ``real``, ``fake``: ``(B, C, H, W)``; ``shares`` ``(B,)`` in [0, 1]: how much of the point is real.
    """
    share = shares[:, None, None, None]
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(network(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
