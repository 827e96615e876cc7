"""y = logit(a + (1 - 2 a) x): pictures in [0, 1] to the line, as Residual Flows take them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow.bijection import Bijection, sum_pixels


class Logit(Bijection):
    """Elementwise; values outside of [0, 1] may give NaN. The slope is at most (1 - 2 a) / (a (1 - a)) in [0, 1].

    Raises ValueError unless ``a`` lies in (0, 0.5).
    """

    def __init__(self, a: float = 0.05) -> None:
        super().__init__()
        if not 0 < a < 0.5:
            raise ValueError(f"logit: a must lie between 0 and 0.5, got {a}")
        self.a = a

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Map to the line; see the contract."""
        y = torch.logit(self.a + (1 - 2 * self.a) * x)
        return y, self._log_det(y)

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Map back; see the contract."""
        return (torch.sigmoid(z) - self.a) / (1 - 2 * self.a), -self._log_det(z)

    def _log_det(self, y: Tensor) -> Tensor:
        # dy/dx = (1 - 2 a) / (sigmoid(y) sigmoid(-y))
        return sum_pixels(math.log(1 - 2 * self.a) - F.logsigmoid(y) - F.logsigmoid(-y), y.shape[0])
