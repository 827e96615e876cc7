"""Tails: values far outside of a picture's range are drawn towards it on the way to the picture."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from models.flow.bijection import Bijection, log_det_dtype

_LEAST_SLOPE = 1e-3


class Tails(Bijection):
    """Towards the picture (``inverse``) the identity on [-slack, 1 + slack], slope ``slope`` beyond; back, its inverse.

    With k(v) = min(max(v, -slack), 1 + slack) it is x = k(v) + slope (v - k(v)): continuous and increasing, so a
    bijection of the real line, with the inverse v = k(x) + (x - k(x)) / slope. What a picture can be, values in
    [0, 1], passes as it is, with a log-determinant of 0. Raises ValueError unless slack >= 0 and 0.001 <= slope <= 1:
    with less, float32 loses what is beyond.
    """

    def __init__(self, slack: float, slope: float) -> None:
        super().__init__()
        if not (slack >= 0.0 and _LEAST_SLOPE <= slope <= 1.0):
            raise ValueError(
                f"tails: slack must be 0 or more and slope in [{_LEAST_SLOPE:g}, 1], got {slack} and {slope}"
            )
        self.slack = slack
        self.slope = slope

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Move what is beyond away from the range; see the contract."""
        return self._beyond(x, 1.0 / self.slope)

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Draw what is beyond towards the range; see the contract."""
        return self._beyond(z, self.slope)

    def farthest_apart(self, distance: Tensor) -> Tensor:
        """Return how far apart two values can be after ``inverse`` that are ``distance`` apart before it, or nearer."""
        width = 1.0 + 2.0 * self.slack
        return distance.clamp(max=width) + self.slope * (distance - width).clamp(min=0.0)

    def _beyond(self, values: Tensor, factor: float) -> tuple[Tensor, Tensor]:
        inside = values.clamp(-self.slack, 1.0 + self.slack)
        count = (values != inside).flatten(1).sum(1).to(log_det_dtype(values))
        return inside + factor * (values - inside), math.log(factor) * count
