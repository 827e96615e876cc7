"""What is minimized: modules that map a batch, as ``Kind.batch`` returns it, to a scalar loss."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.flow.bijection import standard_normal_log_prob
from models.restoration.encoders.low_light import color_ratio
from pipeline.objective import Objective


def published_nll(nats: Tensor, pixels: int) -> Tensor:
    """Return the nll in the unit of SRFlow's and NCSR's code: nats / (ln 2 * H * W).

    ``pixels`` is H * W, not 3 * H * W; a third of it are bits per dimension of the continuous density
    (no dequantization noise is added, as in the published training).
    """
    return nats / (math.log(2.0) * pixels)


class EncodedBatch(NamedTuple):
    """What a flow makes of a batch of pictures."""

    z: Tensor  # (B, C, h, w)
    log_det: Tensor  # (B,), nats
    condition: Any  # as the flow's ``share`` returned it


class NegativeLogLikelihood(Objective):
    """Mean nll of pictures under a flow, in the published unit."""

    def forward(self, target: Tensor, seen: Tensor, *extra: Tensor) -> Tensor:
        """Return a scalar for ``target`` ``(B, 3, H, W)`` in [0, 1] and the network's input ``seen``.

        ``extra`` goes to the network's ``share`` behind ``seen``; it is of the network's kind.
        """
        return self.per_image(target, seen, *extra).mean()

    def per_image(self, target: Tensor, seen: Tensor, *extra: Tensor) -> Tensor:
        """Return the nll of every picture, ``(B,)``, published unit."""
        return self.of_encoded(target, self.encode(target, seen, *extra))

    def encode(self, target: Tensor, seen: Tensor, *extra: Tensor) -> EncodedBatch:
        """Return the latents of ``target``, given ``seen`` and what goes with it."""
        condition = self.network.share(seen, *extra)  # type: ignore[operator]
        return EncodedBatch(*self.network(target, condition), condition)

    @staticmethod
    def of_encoded(target: Tensor, encoded: EncodedBatch) -> Tensor:
        """Return the nll of every picture, ``(B,)``, published unit, where ``encode`` was called already."""
        nats = -(standard_normal_log_prob(encoded.z) + encoded.log_det)
        return published_nll(nats, target.shape[2] * target.shape[3])


class EncoderL1(Objective):
    """Mean absolute error of the RRDB encoder's own super-resolution head (ESRGAN's pretraining)."""

    def forward(self, target: Tensor, seen: Tensor) -> Tensor:
        """Return a scalar for HR ``target`` ``(B, 3, H, W)`` and LR ``seen``, both in [0, 1]."""
        restored = self.network.restore(seen)  # type: ignore[operator]
        return torch.nn.functional.l1_loss(restored, target)


class ColorMapL1(Objective):
    """Mean absolute error of the low-light encoder's colour map against the target's colour ratio.

    The colour map is read off the finest level: what leads to the coarser ones stays as it started.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, unread=[network.get_submodule("downs")])

    def forward(self, target: Tensor, seen: Tensor) -> Tensor:
        """Return a scalar for ``target`` ``(B, 3, H, W)`` in [0, 1] and the encoder's input ``(B, 6, H, W)``."""
        _, color_map = self.network(seen)
        return torch.nn.functional.l1_loss(color_map, color_ratio(target))
