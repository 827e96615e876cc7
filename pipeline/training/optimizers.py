"""Makers of optimizers, from (parameters, learning rate, betas)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

OptimizerFactory = Callable[[Iterable[nn.Parameter], float, tuple[float, float]], torch.optim.Optimizer]


def adam(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float], weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Return Adam (Kingma and Ba 2015); ``weight_decay`` times the weights is added to their gradients."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, weight_decay=weight_decay, fused=True)
