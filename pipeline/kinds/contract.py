"""What a kind of restoration must say; training, sampling and audits are the same for all kinds.

``sides`` are uint8 tensors ``(B, 3, H, W)``: the target, then the inputs that the data set stores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from torch import Tensor, nn

from models.restoration.flow import RestorationFlow
from pipeline.config import TrainingConfig
from pipeline.kinds.objectives import NegativeLogLikelihood
from pipeline.objective import Objective


class Drawing(NamedTuple):
    """Where a batch stands in the training: random numbers are named by it, so a resume draws the same."""

    seed: int
    step: int
    samples: Sequence[int]  # numbers of this worker's samples in the whole training


class Kind(ABC):
    """One kind of restoration.

    ``scales``: by how much the target may be larger than the input. ``aspect``: what is judged, the draws
    themselves or estimates made of them (pipeline/metrics). ``equalized``: the network also sees the
    histogram-equalized input. ``brightness_gain``: restorations are also measured at the target's brightness.
    """

    scales: ClassVar[tuple[int, ...]]
    aspect: ClassVar[Literal["draws", "estimates"]] = "draws"
    equalized: ClassVar[bool] = False
    brightness_gain: ClassVar[bool] = False

    @abstractmethod
    def network(self, network: dict[str, Any], scale: int, **parts: Any) -> RestorationFlow:
        """Return a fresh flow; ``parts``: transform and caps. ValueError for impossible sizes."""

    @abstractmethod
    def encoder(self, encoder: dict[str, Any], scale: int) -> nn.Module:
        """Return a fresh encoder alone."""

    @abstractmethod
    def objective(self, network: nn.Module) -> NegativeLogLikelihood:
        """Return the flow's nll, which takes what ``batch`` or ``pair`` returns; the batch's mean, a scalar."""

    @abstractmethod
    def pretraining(self, encoder: nn.Module, restoration: float = 0.0) -> Objective:
        """Return what the encoder is pretrained by, which takes what ``batch`` returns.

        ``restoration``: weight of throw-away heads that restore; ConfigError where the loss restores anyway.

        It freezes what of the encoder its loss does not reach, so hand in an encoder that nothing else trains.
        """

    @abstractmethod
    def batch(
        self, sides: Sequence[Tensor], scale: int, training: TrainingConfig | None, drawing: Drawing
    ) -> tuple[Tensor | None, ...]:
        """Return a training batch; without ``training`` (in pretraining) nothing random is added."""

    @abstractmethod
    def pair(self, sides: Sequence[Tensor], scale: int) -> tuple[Tensor, Tensor]:
        """Return the target ``(B, 3, H, W)`` in [0, 1] and the network's input, nothing random added."""

    @abstractmethod
    def sides_of(self, picture: np.ndarray, name: str) -> tuple[np.ndarray, ...]:
        """Return the sides ``(H, W, 3)`` uint8 of a clean picture whose degradation is made here."""

    @abstractmethod
    def from_picture(self, picture: Tensor) -> Tensor:
        """Return the network's input for a degraded picture ``(1, 3, h, w)`` uint8 that a user has."""

    @abstractmethod
    def shown(self, seen: Tensor) -> Tensor:
        """Return a network's input as a picture ``(B, 3, h, w)`` in [0, 1]."""

    @abstractmethod
    def around(self, seen: Tensor, radius: float) -> tuple[Tensor, Tensor]:
        """Return the least and the most that each value of the network's input ``seen`` can be for pictures in [0, 1]
        that differ by ``radius`` at most from the one it was made of; 1 or more: for all pictures.
        """

    @abstractmethod
    def baseline(self, seen: Tensor, scale: int) -> Tensor:
        """Return the restoration without a network that ours is compared with, ``(B, 3, H, W)``."""
