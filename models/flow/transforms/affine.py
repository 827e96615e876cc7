"""Affine coupling of SRFlow, NCSR and LLFlow: y = (x + t) * s with s = sigmoid(raw + 2) + eps.

With eps = 1e-4 this is the published baseline, s in (1e-4, 1.0001); with eps = 0.1 it is paper A's
dagger model, 0.1 < s <= 1.1. The inverse divides by s: where s collapses, the inverse explodes
(paper A, section 3.1.2).
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.flow.transforms.transform import Transform


@dataclasses.dataclass(frozen=True)
class Affine(Transform):
    """y = (x + t) * s; raw parameters per channel: t, then the raw scale.

    ``eps``: the lower bound of the scale. Raises ValueError unless it is positive and finite.
    """

    parameters_per_channel: ClassVar[int] = 2
    eps: float = 1e-4

    def __post_init__(self) -> None:
        if not (self.eps > 0 and math.isfinite(self.eps)):
            raise ValueError(f"affine: eps must be positive, got {self.eps}")

    @classmethod
    def examples(cls) -> list[Self]:
        """Return the published scale and paper A's bounded one."""
        return [cls(eps=1e-4), cls(eps=0.1)]

    def derivative_bounds(self) -> tuple[float, float]:
        """Return (eps, 1 + eps)."""
        return self.eps, 1.0 + self.eps

    def displacement_bound(self) -> float:
        """Return inf: (s - 1) x + s t has no bound."""
        return math.inf

    def displacement_within(self, values: tuple[Tensor, Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the extremes of (x + t) s - x: linear in each of x, t and s alone, it has them at corners."""
        scales = self._scale(low[:, 1]), self._scale(high[:, 1])
        moved = torch.stack([(x + t) * s - x for x in values for t in (low[:, 0], high[:, 0]) for s in scales])
        return moved.amin(0), moved.amax(0)

    def _scale(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw + 2.0) + self.eps

    def _forward(self, x: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        t, raw_scale = raw
        s = self._scale(raw_scale)
        return (x + t) * s, s.log().expand(x.shape)

    def _inverse(self, y: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        t, raw_scale = raw
        s = self._scale(raw_scale)
        return y / s - t, -s.log().expand(y.shape)
