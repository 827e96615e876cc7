"""Glow, a density of small pictures (paper B, 4.1.2 and Table 6): the flow of restorations without a condition.

level l = squeeze, K x (actnorm, permutation or 1x1, coupling), then a split with a learned prior but for the last
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.flow.bijection import Bijection, Chain
from models.flow.multiscale import multiscale_flow
from models.flow.transforms import Transform


class TopPrior(Bijection):
    """Glow's learned top: the first channels of the latent are standardized by a learned mean and deviation of each.

    They are N(mean, exp(logs)^2), starting from N(0, 1); what splits have let go already is N(0, 1) and passes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.logs = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Standardize; see the contract."""
        channels = self.mean.shape[1]
        top = (x[:, :channels] - self.mean) * (-self.logs).exp()
        return torch.cat([top, x[:, channels:]], 1), -self._log_det(x)

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Undo it; see the contract."""
        channels = self.mean.shape[1]
        top = z[:, :channels] * self.logs.exp() + self.mean
        return torch.cat([top, z[:, channels:]], 1), self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        return (self.logs.sum() * (x.shape[2] * x.shape[3])).expand(x.shape[0])


class Glow(Chain):
    """Picture ``(B, channels, H, W)`` in [-0.5, 0.5] to latent ``(B, channels * 4^L, H / 2^L, W / 2^L)``.

    The latent is N(0, I) when trained, all of it: log p(x) = standard_normal_log_prob(z) + log_det, nats. H and W must
    be multiples of 2^L. The defaults are paper B's sizes. ``transform``: ``RangedAffine(least=0)`` is its affine
    coupling (eq. 4), ``RangedAffine()`` the modified one, ``Affine(eps=0.01)`` what its released code trains,
    ``Additive()`` eq. 3. ``permutation``: a name of ``PERMUTATIONS``; "reverse" in Table 1, "learned" in the
    pre-trained Glow of the out-of-distribution tables.
    """

    def __init__(
        self,
        transform: Transform,
        levels: int = 3,
        steps: int = 32,
        hidden: int = 512,
        permutation: str = "reverse",
        channels: int = 3,
    ) -> None:
        latent_channels = channels * 4**levels
        flow = multiscale_flow(
            transform,
            levels,
            steps,
            hidden,
            feature_channels=0,
            splits=range(1, levels),
            permutation=permutation,
            channels=channels,
            transitions=0,
        )
        # every split halves the channels that go on
        super().__init__([flow, TopPrior(latent_channels // 2 ** (levels - 1))])
        self.multiple = 2**levels  # height and width must be multiples of this
        self.latent_channels = latent_channels

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, rows, columns) of the latent of a picture of this size in pixels."""
        return self.latent_channels, height // self.multiple, width // self.multiple
