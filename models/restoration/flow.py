"""What every flow that restores pictures tells about itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from models.flow.bijection import Bijection
from models.flow.features import Features, whole
from models.restoration.tails import Tails


class RestorationFlow(Bijection):
    """A bijection of pictures ``(B, 3, H, W)`` in [0, 1], conditioned by an encoder of the degraded input.

    ``share`` takes that input ``(B, C, h, w)`` with H = scale * h; h and w must be multiples of ``multiple``.
    """

    scale: int
    encoder: nn.Module

    def __init__(self) -> None:
        super().__init__()
        # of what the encoder says, by level ("1" to "L"; in low light also "mean"); None: as it says
        self.feature_ranges: nn.ModuleDict | None = None
        self.tails: Tails | None = None  # of a shielded flow's pictures

    def within_range(self, what: int | str, features: Features | Tensor) -> Features | Tensor:
        """Return the encoder's ``features`` clamped to the range of level ``what``, as one map, if there is one."""
        if self.feature_ranges is None:
            return features
        clamped: Tensor = self.feature_ranges[str(what)](whole(features))
        return clamped

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Encode pictures; see the contract. ValueError for a condition on pictures of another size or number."""
        if self.tails is None:
            return self._encode(x, condition)
        x, beyond = self.tails(x)
        z, log_det = self._encode(x, condition)
        return z, log_det + beyond

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Decode latents to pictures, un-clamped; see the contract. ValueError as for ``forward``."""
        x, log_det = self._decode(z, condition)
        if self.tails is None:
            return x, log_det
        x, beyond = self.tails.inverse(x)
        return x, log_det + beyond

    @abstractmethod
    def _encode(self, x: Tensor, condition: Any) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def _decode(self, z: Tensor, condition: Any) -> tuple[Tensor, Tensor]: ...

    @property
    @abstractmethod
    def multiple(self) -> int:
        """What height and width of the input must be multiples of."""

    @abstractmethod
    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, rows, columns) of the latent for an input of this size in pixels."""
