"""Super-resolution: LR is the data set's own, or made by bicubic; noise conditioning as in NCSR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.restoration.encoders.rrdb import RRDBEncoder
from models.restoration.flow import RestorationFlow
from models.restoration.super_resolution import SuperResolutionFlow
from pipeline.config import TrainingConfig
from pipeline.errors import ConfigError
from pipeline.feed.bicubic import imresize
from pipeline.feed.degradations import low_resolution
from pipeline.kinds.contract import Drawing, Kind
from pipeline.kinds.objectives import EncoderL1, NegativeLogLikelihood
from pipeline.objective import Objective
from pipeline.seeds import generator


class SuperResolution(Kind):
    """HR ``(B, 3, H, W)`` from LR ``(B, 3, H / scale, W / scale)`` in [0, 1], on an 8-bit grid as published."""

    scales = (4, 8)

    def network(self, network: dict[str, Any], scale: int, **parts: Any) -> RestorationFlow:
        """Return a fresh SuperResolutionFlow."""
        return SuperResolutionFlow(scale=scale, **network, **parts)

    def encoder(self, encoder: dict[str, Any], scale: int) -> nn.Module:
        """Return a fresh RRDB encoder."""
        return RRDBEncoder(**encoder, scale=scale)

    def objective(self, network: nn.Module) -> NegativeLogLikelihood:
        """Return the nll in the published unit."""
        return NegativeLogLikelihood(network)

    def pretraining(self, encoder: nn.Module, restoration: float = 0.0) -> Objective:
        """Return the L1 error of the encoder's own head."""
        if restoration:
            raise ConfigError(
                f"pretraining.restoration is {restoration}, but super-resolution is pretrained by restoring alone; "
                "leave it out"
            )
        return EncoderL1(encoder)

    def batch(
        self, sides: Sequence[Tensor], scale: int, training: TrainingConfig | None, drawing: Drawing
    ) -> tuple[Tensor | None, ...]:
        """Return HR, LR, and NCSR's noise on both: N(0, sigma^2) with sigma ~ U(0, noise_std) per image."""
        hr, lr = self.pair(sides, scale)
        if training is None or training.noise_std == 0:
            return hr, lr
        each = [_noise(hr.shape[1:], training.noise_std, drawing.seed, sample) for sample in drawing.samples]
        noise = torch.stack(each).to(hr.device)
        return hr, lr, noise, imresize(noise, 1.0 / scale)

    def pair(self, sides: Sequence[Tensor], scale: int) -> tuple[Tensor, Tensor]:
        """Return HR and LR."""
        target, *inputs = sides
        lr = inputs[0].float() / 255.0 if inputs else low_resolution(target, scale)
        return target.float() / 255.0, lr

    def sides_of(self, picture: np.ndarray, name: str) -> tuple[np.ndarray, ...]:
        """Return HR alone."""
        return (picture,)

    def from_picture(self, picture: Tensor) -> Tensor:
        """Return LR in [0, 1]."""
        return picture.float() / 255.0

    def shown(self, seen: Tensor) -> Tensor:
        """Return LR itself."""
        return seen

    def around(self, seen: Tensor, radius: float) -> tuple[Tensor, Tensor]:
        """Return LR less and more ``radius``, in [0, 1]."""
        return (seen - radius).clamp(0.0, 1.0), (seen + radius).clamp(0.0, 1.0)

    def baseline(self, seen: Tensor, scale: int) -> Tensor:
        """Return MATLAB's bicubic enlargement."""
        return imresize(seen, scale)


def _noise(shape: torch.Size, noise_std: float, seed: int, sample: int) -> Tensor:
    """Return the noise for the sample with this number in the whole training."""
    source = generator("noise", seed, sample)
    sigma = noise_std * torch.rand((), generator=source)
    return sigma * torch.randn(shape, generator=source)
