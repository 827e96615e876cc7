"""Fixed permutations of the channels, which paper B's networks put between couplings in place of 1x1 convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.flow.bijection import Bijection


class Permutation(Bijection):
    """y[:, c] = x[:, order[c]]; log_det 0, every singular value 1. ``order``: ``(C,)``, part of the state_dict."""

    order: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Permute the channels; see the contract."""
        return x[:, self.order], x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Put the channels back; see the contract."""
        return z[:, self.order.argsort()], z.new_zeros(z.shape[0])


def shuffle(channels: int) -> Permutation:
    """Return a random permutation, fixed from then on (paper B, 4.2: "shuffle")."""
    return Permutation(torch.randperm(channels))


def reverse(channels: int) -> Permutation:
    """Return the permutation that turns the order of the channels round (paper B, Table 6)."""
    return Permutation(torch.arange(channels).flip(0))
