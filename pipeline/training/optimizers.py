"""Makers of optimizers, from (parameters, learning rate, betas)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

OptimizerFactory = Callable[[Iterable[nn.Parameter], float, tuple[float, float]], torch.optim.Optimizer]


def adam(parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """Return Adam (Kingma and Ba 2015) without weight decay."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=True)
