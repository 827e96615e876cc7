"""The checkerboard: uniform on 8 of the 16 squares of side 2 that make up [-4, 4]^2 (paper B, Fig. 7)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BORDER = 4.0  # the data lie in [-BORDER, BORDER]^2
SQUARE = 2.0  # side of a square
EXACT_NLL = math.log(8 * SQUARE**2)  # nats: -log of the density, the same everywhere; no model can beat it on average
REACH = 8.0  # the grid covers [-REACH, REACH)^2


def draw(count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` points ``(count, 2, 1, 1)``, float32."""
    across = torch.rand(count, generator=generator) * 4 - 2
    lower = torch.randint(2, (count,), generator=generator) * 2
    up = torch.rand(count, generator=generator) - lower + across.floor() % 2
    return 2 * torch.stack([across, up], 1)[:, :, None, None]


def grid(side: int) -> Tensor:
    """Return side^2 points of [-8, 8)^2, ``(side^2, 2, 1, 1)``, row by row, the first coordinate running faster."""
    axis = torch.arange(side) * (2 * REACH / side) - REACH
    up, across = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([across, up], -1).reshape(-1, 2, 1, 1)


def inside(x: Tensor) -> Tensor:
    """Return ``(B,)``: whether points lie in the square that the data come from."""
    return (x.flatten(1).abs() <= BORDER).all(1)


def at_jumps(x: Tensor, within: float = 0.25) -> Tensor:
    """Return ``(B,)``: whether points lie inside, so near to the border of a square, where the density jumps."""
    distance = (x.flatten(1) / SQUARE - (x.flatten(1) / SQUARE).round()).abs() * SQUARE
    return inside(x) & (distance <= within).any(1)
