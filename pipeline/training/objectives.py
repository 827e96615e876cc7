"""What is minimized. Each objective maps a batch to ``(loss, report)`` and owns the network it trains."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.encoders.rrdb import RRDBEncoder
from models.super_resolution_flow import SuperResolutionFlow, standard_normal_log_prob


def published_nll(nats: Tensor, pixels: int) -> Tensor:
    """Return the nll in the unit of SRFlow's and NCSR's code: nats / (ln 2 * H * W).

    ``pixels`` is H * W, not 3 * H * W; a third of it are bits per dimension of the continuous density
    (no dequantization noise is added, as in the published training).
    """
    return nats / (math.log(2.0) * pixels)


class NegativeLogLikelihood(nn.Module):
    """Mean nll of HR images under the flow, in the published unit."""

    def __init__(self, network: SuperResolutionFlow) -> None:
        super().__init__()
        self.network = network

    def forward(self, hr: Tensor, lr: Tensor, noise: Tensor | None = None, lr_noise: Tensor | None = None) -> Tensor:
        """Return a scalar. ``hr`` ``(B, 3, H, W)``, ``lr`` ``(B, 3, h, w)`` in [0, 1].

        With noise: the target is HR + noise, the encoder sees LR + lr_noise (NCSR), and the base of the
        frequency separation stays the clean LR (FS-NCSR).
        """
        return self.per_image(hr, lr, noise, lr_noise).mean()

    def per_image(self, hr: Tensor, lr: Tensor, noise: Tensor | None = None, lr_noise: Tensor | None = None) -> Tensor:
        """Return the nll of every image, ``(B,)``, published unit."""
        condition = self.network.share(lr, noise, lr_noise)
        z, log_det = self.network(hr if noise is None else hr + noise, condition)
        nats = -(standard_normal_log_prob(z) + log_det)
        return published_nll(nats, hr.shape[2] * hr.shape[3])


class EncoderL1(nn.Module):
    """Mean absolute error of the encoder's own super-resolution head (ESRGAN's pretraining)."""

    def __init__(self, network: RRDBEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, hr: Tensor, lr: Tensor, noise: Tensor | None = None, lr_noise: Tensor | None = None) -> Tensor:
        """Return a scalar; noise is not used."""
        return torch.nn.functional.l1_loss(self.network.restore(lr), hr)
