"""What is minimized: modules that map a batch, as ``Kind.batch`` returns it, to a scalar loss."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.bijection import standard_normal_log_prob
from models.restoration.encoders.low_light import LEVELS, color_ratio
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
        z, log_det = self.network(target, condition)
        return EncodedBatch(z, log_det, condition)

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
        return F.l1_loss(restored, target)


class ColorMapL1(Objective):
    """Mean absolute error of the low-light encoder's colour map against the target's colour ratio.

    The colour map is read off the finest level: what leads to the coarser ones stays as it started.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, unread=[network.get_submodule("downs")])

    def forward(self, target: Tensor, seen: Tensor) -> Tensor:
        """Return a scalar for ``target`` ``(B, 3, H, W)`` in [0, 1] and the encoder's input ``(B, 6, H, W)``."""
        _, color_map = self.network(seen)
        return F.l1_loss(color_map, color_ratio(target))


class RestoringL1(Objective):
    """The colour map's error plus ``weight`` times the L1 error of what is restored from each level's features.

    The colour ratio knows nothing of brightness or detail; a flow's conditional nets want both from the features.
    One convolution per level turns its features into the target, at level l of 2^-(l - 1) times its size. These heads
    belong to the loss and are thrown away with it.
    """

    def __init__(self, network: nn.Module, weight: float) -> None:
        super().__init__(network)
        self.weight = weight
        channels: Any = network.feature_channels
        self.heads = nn.ModuleList(nn.Conv2d(channels, 3 * 4, 3, padding=1) for _ in range(LEVELS))

    def forward(self, target: Tensor, seen: Tensor) -> Tensor:
        """Return a scalar for ``target`` ``(B, 3, H, W)`` in [0, 1] and the encoder's input ``(B, 6, H, W)``."""
        levels, color_map = self.network(seen)
        loss = F.l1_loss(color_map, color_ratio(target))
        for level, head in enumerate(self.heads, 1):
            restored = F.pixel_shuffle(head(levels[level]), 2)
            wanted = F.avg_pool2d(target, 2 ** (level - 1))
            loss = loss + self.weight / LEVELS * F.l1_loss(restored, wanted)
        return loss
