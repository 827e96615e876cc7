"""Paper A's super-resolution flow (FS-NCSR): p(HR | LR) by frequency separation and noise conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow.bijection import check_condition
from models.flow.caps import Caps
from models.flow.features import Features
from models.flow.multiscale import NOISE_CHANNELS, multiscale_flow
from models.flow.transforms import Transform
from models.restoration.encoders.rrdb import RRDBEncoder
from models.restoration.flow import RestorationFlow
from models.restoration.published import unread_super_resolution


class SuperResolutionCondition(NamedTuple):
    """What all draws of one LR batch have in common."""

    base: Tensor  # (B, 3, H, W), the enlarged LR image that the flow's output is added to (less any noise)
    shared: Any  # the flow's condition


class SuperResolutionFlow(RestorationFlow):
    """HR image ``(B, 3, H, W)`` in [0, 1] to latent ``(B, 3 * 4^L, H / 2^L, W / 2^L)``, N(0, I) when trained.

    Frequency separation (FS-NCSR): the flow models HR - up(LR), up = bicubic; without ``residual`` it models
    HR itself (SRFlow, NCSR). Noise conditioning (NCSR): in training, HR and LR carry noise, and the
    noise-conditional layers see the noise map; for restoring, the map is zero. ``encoder``: channels, blocks,
    growth, taps of the RRDB encoder. ``caps``: bounds on the layers around the couplings. ``published``: also
    hold what the published network stores and never reads.
    """

    def __init__(
        self,
        transform: Transform,
        scale: int,
        levels: int,
        steps: int,
        hidden: int,
        noise_steps: Sequence[int],
        permutation: str,
        encoder: dict[str, Any],
        caps: Caps | None = None,
        published: bool = False,
        residual: bool = True,
    ) -> None:
        super().__init__()
        caps = caps or Caps()
        if scale / 2**levels not in (0.5, 1.0):
            raise ValueError(
                f"scale {scale} goes with {scale.bit_length() - 1} or {scale.bit_length()} levels, got {levels}"
            )
        self.scale = scale
        self.levels = levels
        self.residual = residual
        self.overshoot = caps.overshoot
        self.encoder = RRDBEncoder(**encoder, scale=scale)
        self.encoder.freeze_head()
        self.flow = multiscale_flow(
            transform,
            levels,
            steps,
            hidden,
            self.encoder.feature_channels,
            # SRFlow consumes half of the channels after level l where l < L - 1
            splits=range(1, levels - 1),
            noise_steps=noise_steps,
            permutation=permutation,
            caps=caps,
        )
        if published:
            taps, splits = len(self.encoder.taps), max(0, levels - 2)
            self.unread = unread_super_resolution(self.flow, taps, splits, any(noise_steps), hidden)

    @property
    def multiple(self) -> int:
        """LR height and width must be multiples of this."""
        return max(1, 2**self.levels // self.scale)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, rows, columns) of the latent of an LR image of this size in pixels."""
        return 3 * 4**self.levels, height * self.scale // 2**self.levels, width * self.scale // 2**self.levels

    def share(
        self, features: Tensor, noise: Tensor | None = None, lr_noise: Tensor | None = None
    ) -> SuperResolutionCondition:
        """Return the condition for LR images ``(B, 3, h, w)`` in [0, 1].

        ``noise`` ``(B, 3, H, W)`` is what the flow sees added to HR and ``lr_noise`` ``(B, 3, h, w)`` its
        downscaled copy, which the encoder sees added to LR; None means no noise. HR itself stays clean: the
        noise belongs to the condition, so ``inverse`` takes it off again.
        """
        lr = features
        seen = lr if lr_noise is None else lr + lr_noise
        per_level = {
            level: {"encoder": self.within_range(level, encoded), "noise": _noise_at(encoded, noise)}
            for level, encoded in self.encoder(seen, self.levels).items()
        }
        base = F.interpolate(lr, scale_factor=self.scale, mode="bicubic", align_corners=False)
        base = base.clamp(-self.overshoot, 1.0 + self.overshoot) if self.residual else torch.zeros_like(base)
        shift = base if noise is None else base - noise
        return SuperResolutionCondition(shift, self.flow.share(per_level))

    def _encode(self, x: Tensor, condition: Any) -> tuple[Tensor, Tensor]:
        check_condition(self, x, condition.base, x.shape[1:])
        result: tuple[Tensor, Tensor] = self.flow(x - condition.base, condition.shared)
        return result

    def _decode(self, z: Tensor, condition: Any) -> tuple[Tensor, Tensor]:
        residual, log_det = self.flow.inverse(z, condition.shared)
        return residual + condition.base, log_det


def _noise_at(encoded: Features | Tensor, noise: Tensor | None) -> Tensor:
    """Return the noise map at the size of ``encoded`` (bicubic, as NCSR), or zeros."""
    own = encoded if isinstance(encoded, Tensor) else encoded.own
    size = own.shape[2:]
    if noise is None:
        return own.new_zeros(own.shape[0], NOISE_CHANNELS, *size)
    return F.interpolate(noise, size=size, mode="bicubic", align_corners=False)
