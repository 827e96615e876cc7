"""Low-light enhancement as LLFlow does it: six input channels, the colour ratio as the latent's mean by coin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.restoration.encoders.low_light import LowLightEncoder, color_ratio
from models.restoration.flow import RestorationFlow
from models.restoration.low_light import LowLightFlow
from pipeline.config import TrainingConfig
from pipeline.feed.darkening import darken
from pipeline.feed.equalization import equalize
from pipeline.kinds.contract import Drawing, Kind
from pipeline.kinds.objectives import ColorMapL1, NegativeLogLikelihood, RestoringL1
from pipeline.objective import Objective
from pipeline.seeds import generator

_LOG_FLOOR = 1e-3  # LLFlow: log(clamp(low + 1e-3, min=1e-3))


class LowLight(Kind):
    """Normally lit ``(B, 3, H, W)`` from ``(B, 6, H, W)``: log of the low-light picture, its equalized histogram."""

    scales = (1,)
    aspect = "estimates"
    equalized = True
    brightness_gain = True

    def network(self, network: dict[str, Any], scale: int, **parts: Any) -> RestorationFlow:
        """Return a fresh LowLightFlow."""
        return LowLightFlow(**network, **parts)

    def encoder(self, encoder: dict[str, Any], scale: int) -> nn.Module:
        """Return a fresh LLFlow encoder."""
        return LowLightEncoder(**encoder)

    def objective(self, network: nn.Module) -> NegativeLogLikelihood:
        """Return the nll in the published unit."""
        return NegativeLogLikelihood(network)

    def pretraining(self, encoder: nn.Module, restoration: float = 0.0) -> Objective:
        """Return the L1 error of the colour map against the target's colour ratio (ours: LLFlow has none).

        With ``restoration``, plus so many times the L1 error of pictures that are restored from the features.
        """
        return RestoringL1(encoder, restoration) if restoration else ColorMapL1(encoder)

    def batch(
        self, sides: Sequence[Tensor], scale: int, training: TrainingConfig | None, drawing: Drawing
    ) -> tuple[Tensor | None, ...]:
        """Return target, input, the target's colour ratio, and LLFlow's coin: one for the whole batch."""
        target, seen = self.pair(sides, scale)
        if training is None:
            return target, seen
        heads = torch.rand((), generator=generator("coin", drawing.seed, drawing.step)) < training.ratio_probability
        return target, seen, color_ratio(target), heads.to(target.device)

    def pair(self, sides: Sequence[Tensor], scale: int) -> tuple[Tensor, Tensor]:
        """Return target and input."""
        target, low, equalized = sides
        return target.float() / 255.0, _seen(low, equalized)

    def sides_of(self, picture: np.ndarray, name: str) -> tuple[np.ndarray, ...]:
        """Return the picture, a synthetic low-light one of it, and that one's equalized histogram."""
        low = darken(picture, name)
        return picture, low, equalize(low)

    def from_picture(self, picture: Tensor) -> Tensor:
        """Return the six channels of a low-light picture."""
        equalized = equalize(picture[0].permute(1, 2, 0).contiguous().cpu().numpy())
        return _seen(picture, torch.from_numpy(equalized).permute(2, 0, 1)[None].to(picture.device))

    def shown(self, seen: Tensor) -> Tensor:
        """Return the low-light picture."""
        return seen[:, :3].exp() - _LOG_FLOOR

    def around(self, seen: Tensor, radius: float) -> tuple[Tensor, Tensor]:
        """Return the logs and the equalized pictures less and more ``radius``; the latter as if they were free of the
        former, so that more is allowed than any picture does.
        """
        pictures = torch.cat([self.shown(seen), seen[:, 3:]], 1)

        def moved(distance: float) -> Tensor:
            low, equalized = (pictures + distance).clamp(0.0, 1.0).split(3, 1)
            return torch.cat([(low + _LOG_FLOOR).log(), equalized], 1)

        return moved(-radius), moved(radius)

    def baseline(self, seen: Tensor, scale: int) -> Tensor:
        """Return the equalized histogram."""
        return seen[:, 3:]


def _seen(low: Tensor, equalized: Tensor) -> Tensor:
    log = (low.float() / 255.0 + _LOG_FLOOR).clamp(min=_LOG_FLOOR).log()
    return torch.cat([log, equalized.float() / 255.0], 1)
