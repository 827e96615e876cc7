"""Activation normalization (Glow): y = (x + bias) * exp(log_scale) per channel, started from data."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.flow.bijection import Bijection
from models.flow.caps import soft_cap, undo_soft_cap

_STD_FLOOR = 1e-6  # SRFlow: log_scale = log(1 / (std + 1e-6))


class ActNorm(Bijection):
    """Per-channel shift and scale; log_det = H * W * sum(log_scale).

    Until ``initializing`` has been run it is the identity. ``initialized`` is part of the state_dict,
    so loaded weights are never started anew. ``cap`` bounds |log_scale| smoothly; inf: no bound.
    """

    initialized: Tensor

    def __init__(self, channels: int, cap: float = math.inf) -> None:
        super().__init__()
        self.cap = cap
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.register_buffer("initialized", torch.tensor(False))
        self._initializing = False

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Normalize; see the contract."""
        with torch.autocast(x.device.type, enabled=False):
            x = x if x.dtype == torch.float64 else x.float()
            if self._initializing:
                self._start_from(x)
            return (x + self.bias) * self.capped_log_scale().exp(), self._log_det(x)

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Undo the normalization; see the contract."""
        with torch.autocast(z.device.type, enabled=False):
            z = z if z.dtype == torch.float64 else z.float()
            return z * (-self.capped_log_scale()).exp() - self.bias, -self._log_det(z)

    @property
    def starting(self) -> bool:
        """Whether the next batch sets it (``initializing``)."""
        return self._initializing

    def capped_log_scale(self) -> Tensor:
        """Return the log of the factors that are applied, ``(1, C, 1, 1)``."""
        return soft_cap(self.log_scale, self.cap)

    def _log_det(self, x: Tensor) -> Tensor:
        return (self.capped_log_scale().sum() * (x.shape[2] * x.shape[3])).expand(x.shape[0])

    @torch.no_grad()
    def _start_from(self, x: Tensor) -> None:
        """Choose bias and scale so that the global batch leaves with mean 0 and variance 1 (if the cap lets it)."""
        values = x.double()
        count = torch.full((1,), x.numel() / x.shape[1], dtype=torch.float64, device=x.device)
        sums = torch.cat([count, values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
        sums = sum_over_ranks(sums)  # every rank starts from the statistics of all ranks
        total, (first, second) = sums[0], sums[1:].chunk(2)
        mean = first / total
        std = (second / total - mean.square()).clamp(min=0.0).sqrt()
        self.bias.copy_(-mean.view_as(self.bias))
        log_scale = undo_soft_cap(-(std + _STD_FLOOR).log(), self.cap)
        self.log_scale.copy_(log_scale.view_as(self.log_scale))
        self.initialized.fill_(True)


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum of ``values`` over all workers, the same on each; it may be added up in place."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(values)
    return values


@contextlib.contextmanager
def initializing(module: nn.Module) -> Iterator[None]:
    """In this block, each ActNorm that has not been started sets itself from the batch it sees.

    Run one forward pass of the global batch in it, on every rank and before DistributedDataParallel
    wraps the module.
    """
    fresh = [m for m in module.modules() if isinstance(m, ActNorm) and not bool(m.initialized)]
    for layer in fresh:
        layer._initializing = True
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in fresh:
            layer._initializing = False
