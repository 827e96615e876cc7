"""Additive coupling (NICE): y = x + t; volume preserving, derivative 1 everywhere."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from models.transforms.transform import Transform


@dataclasses.dataclass(frozen=True)
class Additive(Transform):
    """y = x + t, one raw parameter per channel: t."""

    parameters_per_channel: ClassVar[int] = 1

    def _forward(self, x: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        (t,) = raw
        y = x + t
        return y, y.new_zeros(y.shape)

    def _inverse(self, y: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        (t,) = raw
        x = y - t
        return x, x.new_zeros(x.shape)
