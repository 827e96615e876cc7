"""LLFlow (Wang et al. 2022; paper A, 4.3): p(normally lit | low light), with a colour map as the latent's mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow.bijection import check_condition
from models.flow.caps import Caps
from models.flow.features import whole
from models.flow.multiscale import multiscale_flow
from models.flow.transforms import Transform
from models.restoration.encoders.low_light import LEVELS, LowLightEncoder
from models.restoration.flow import RestorationFlow
from models.restoration.published import unread_low_light


class LowLightCondition(NamedTuple):
    """What all draws of one low-light batch have in common."""

    mean: Tensor  # (B, 192, H / 8, W / 8), the mean of the latent
    shared: Any  # the flow's condition


class LowLightFlow(RestorationFlow):
    """Picture ``(B, 3, H, W)`` in [0, 1] to latent ``(B, 192, H / 8, W / 8)``, N(0, I) when trained.

    The published latent is N(mean, I) with the squeezed colour map as its mean; ours is what remains after the
    mean is subtracted, so that a latent of zeros decodes to the published result and tau * N(0, I) to draws
    around it. ``features`` are what models/restoration/encoders/low_light.py describes. H and W must be multiples of 8.
    ``encoder``: channels, blocks, growth, taps. ``published``: also hold what LLFlow stores and never reads.
    """

    scale = 1
    multiple = 2**LEVELS

    def __init__(
        self,
        transform: Transform,
        steps: int,
        hidden: int,
        permutation: str,
        encoder: dict[str, Any],
        caps: Caps | None = None,
        levels: int = LEVELS,
        noise_steps: Sequence[int] = (),
        published: bool = False,
    ) -> None:
        super().__init__()
        if levels != LEVELS or any(noise_steps):
            raise ValueError(f"a low-light flow has {LEVELS} levels and no noise steps, got {levels}, {noise_steps}")
        self.encoder = LowLightEncoder(**encoder)
        self.flow = multiscale_flow(
            transform, LEVELS, steps, hidden, self.encoder.feature_channels, permutation=permutation, caps=caps
        )
        if published:
            self.unread = unread_low_light(len(self.encoder.taps), encoder["channels"])

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, rows, columns) of the latent of a picture of this size in pixels."""
        return 3 * 4**LEVELS, height // self.multiple, width // self.multiple

    def share(
        self, features: Tensor, ratio: Tensor | None = None, use_ratio: Tensor | None = None
    ) -> LowLightCondition:
        """Return the condition for low-light inputs ``(B, 6, H, W)``.

        In training, LLFlow throws a coin: the mean is the learned colour map g or the true picture's own
        ``color_ratio``. ``ratio`` ``(B, 3, H, W)`` is the latter and ``use_ratio``, bool and broadcastable to it,
        says where it takes the place of g (None: everywhere that a ratio is given).
        """
        levels, mean = self.encoder(self._input_within_range(features))
        mean = whole(self.within_range("mean", mean))
        if ratio is not None:
            # by `where` also if it is taken everywhere: g stays part of the graph, which DDP requires
            chosen = ratio.new_ones((), dtype=torch.bool) if use_ratio is None else use_ratio
            mean = torch.where(chosen, ratio, mean)
        shared = self.flow.share(
            {level: {"encoder": self.within_range(level, encoded)} for level, encoded in levels.items()}
        )
        return LowLightCondition(F.pixel_unshuffle(mean, self.multiple), shared)

    def _input_within_range(self, features: Tensor) -> Tensor:
        """Return what the encoder sees, in blocks of 8 x 8 pixels clamped to the range of those of photographs."""
        if self.feature_ranges is None:
            return features
        blocks = F.pixel_unshuffle(features, self.multiple)
        return F.pixel_shuffle(self.within_range("input", blocks), self.multiple)  # type: ignore[arg-type]

    def _encode(self, x: Tensor, condition: Any) -> tuple[Tensor, Tensor]:
        check_condition(self, x, condition.mean, self.latent_shape(*x.shape[2:]))
        z, log_det = self.flow(x, condition.shared)
        return z - condition.mean, log_det

    def _decode(self, z: Tensor, condition: Any) -> tuple[Tensor, Tensor]:
        check_condition(self, z, condition.mean, z.shape[1:])
        return self.flow.inverse(z + condition.mean, condition.shared)
