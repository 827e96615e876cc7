"""Squeeze: 2 x 2 pixels become 4 channels (torch's order: channel c gives 4 c + 2 dy + dx)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from models.flow.bijection import Bijection


class Squeeze(Bijection):
    """``(B, C, H, W)`` to ``(B, 4 C, H / 2, W / 2)``; log_det 0. H and W must be even."""

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Move pixels into channels; see the contract."""
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Move channels into pixels; see the contract."""
        return F.pixel_shuffle(z, 2), z.new_zeros(z.shape[0])
