"""What every flow that restores pictures tells about itself."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from models.flow.bijection import Bijection


class RestorationFlow(Bijection):
    """A bijection of pictures ``(B, 3, H, W)`` in [0, 1], conditioned by an encoder of the degraded input.

    ``share`` takes that input ``(B, C, h, w)`` with H = scale * h; h and w must be multiples of ``multiple``.
    """

    scale: int
    encoder: nn.Module

    @property
    @abstractmethod
    def multiple(self) -> int:
        """What height and width of the input must be multiples of."""

    @abstractmethod
    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, rows, columns) of the latent for an input of this size in pixels."""
