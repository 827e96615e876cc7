"""Makers of optimizers, from (parameters, learning rate, betas)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

_SETTLED = 100  # steps after which the usual length of a gradient is known
_TINY = 1e-30  # a gradient of zeros is divided by it

OptimizerFactory = Callable[[Iterable[nn.Parameter], float, tuple[float, float]], torch.optim.Optimizer]


def adam(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float], weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Return Adam (Kingma and Ba 2015); ``weight_decay`` times the weights is added to their gradients."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, weight_decay=weight_decay, fused=True)


def clip_spikes(optimizer: torch.optim.Optimizer, limit: float) -> None:
    """Shorten each parameter's gradient to ``limit`` times its usual length: the root mean square that Adam keeps.

    Adam divides by what gradients were over the last 1 / (1 - beta_2) steps. A part of a network whose gradients were
    small for long, and which one batch hits hard, therefore moves by up to (1 - beta_1) / sqrt(1 - beta_2) learning
    rates at once, three at (0.9, 0.999), whatever the norm of the whole gradient is clipped to. A flow's encoder does:
    docs/training.md follows such a step to the overflow of the prior. Until step ``_SETTLED`` nothing is clipped.
    """
    for group in optimizer.param_groups:
        known = [(p.grad, optimizer.state[p]) for p in group["params"] if p.grad is not None and optimizer.state[p]]
        if not known or float(known[0][1]["step"]) < _SETTLED:
            continue
        gradients = [gradient for gradient, _ in known]
        seen = 1.0 - group["betas"][1] ** float(known[0][1]["step"])
        squares = torch.stack(torch._foreach_norm([state["exp_avg_sq"] for _, state in known], 1)) / seen
        allowed = limit * squares.sqrt() / torch.stack(torch._foreach_norm(gradients)).clamp(min=_TINY)
        factors = torch.where(squares > 0, allowed, torch.inf).clamp(max=1.0)
        torch._foreach_mul_(gradients, list(factors.unbind()))
