"""Additive coupling (NICE): y = x + t; volume preserving, derivative 1 everywhere."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from torch import Tensor

from models.flow.transforms.transform import Transform


@dataclasses.dataclass(frozen=True)
class Additive(Transform):
    """y = x + t, one raw parameter per channel: t."""

    parameters_per_channel: ClassVar[int] = 1

    def derivative_bounds(self) -> tuple[float, float]:
        """Return (1, 1)."""
        return 1.0, 1.0

    def displacement_bound(self) -> float:
        """Return inf: t is free."""
        return math.inf

    def displacement_within(self, values: tuple[Tensor, Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the range of t."""
        return low[:, 0], high[:, 0]

    def _forward(self, x: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        (t,) = raw
        y = x + t
        return y, y.new_zeros(y.shape)

    def _inverse(self, y: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        (t,) = raw
        x = y - t
        return x, x.new_zeros(x.shape)
