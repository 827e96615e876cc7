"""Affine coupling with a scale inside of a range: y = x * s + t, s in (least, most) (paper B, eq. 4 and 4.1).

    s = least + (most - least) * sigmoid(raw + offset)

| least, most, offset | what it is |
|---|---|
| 0, 1, 2 | paper B's affine coupling: nothing keeps s from 0 |
| 0.5, 1, 2 | its modified affine coupling (checkerboard, Glow, CelebA) |
| eps, 2 - eps, 0 | the released code's "naffine" |
| 0.01, 1.01, 2, shift_first | the released code's affine Glow |
| 0, 1, 2, shift_first | the released code's affine classifier |
| g, g | a fixed scale (the example of section 2, Fig. 1: g = 0.1) |

``shift_first`` is y = (x + t) * s, Glow's order, in which the inverse does not divide t by s.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow.transforms.transform import Transform


@dataclasses.dataclass(frozen=True)
class RangedAffine(Transform):
    """y = x * s + t, or (x + t) * s; raw parameters per channel: t, then the raw scale.

    Raises ValueError unless 0 <= least <= most, most is positive, and all are finite.
    """

    parameters_per_channel: ClassVar[int] = 2
    least: float = 0.5
    most: float = 1.0
    offset: float = 2.0
    shift_first: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.least <= self.most and 0 < self.most < math.inf and math.isfinite(self.offset)):
            raise ValueError(
                "ranged_affine: needs 0 <= least <= most, most > 0 and all of them finite; "
                f"got least {self.least}, most {self.most}, offset {self.offset}"
            )

    @classmethod
    def examples(cls) -> list[Self]:
        """Return the modified affine coupling, and the released code's affine Glow."""
        return [cls(), cls(least=0.01, most=1.01, shift_first=True)]

    def derivative_bounds(self) -> tuple[float, float]:
        """Return (least, most)."""
        return self.least, self.most

    def displacement_bound(self) -> float:
        """Return inf: t is free."""
        return math.inf

    def displacement_within(self, values: tuple[Tensor, Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the extremes of c(x) - x: linear in each of x, t and s alone, it has them at corners."""
        ends = itertools.product(values, (low[:, 0], high[:, 0]), (low[:, 1], high[:, 1]))
        moved = torch.stack([self._forward(x, t, raw)[0] - x for x, t, raw in ends])
        return moved.amin(0), moved.amax(0)

    def centring_shift(self, x: Tensor) -> Tensor:
        """Return -x where the shift comes first, else -x times the scale at rest."""
        return -x if self.shift_first else -x * self._scale(x.new_zeros(()))[0]

    def _scale(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return s and log s; the log stays finite where s underflows."""
        if self.least == 0:
            logs = F.logsigmoid(raw + self.offset) + math.log(self.most)
            return logs.exp(), logs
        s = self.least + (self.most - self.least) * torch.sigmoid(raw + self.offset)
        return s, s.log()

    def _forward(self, x: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        t, raw_scale = raw
        s, logs = self._scale(raw_scale)
        y = (x + t) * s if self.shift_first else x * s + t
        return y, logs.expand(x.shape)

    def _inverse(self, y: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        t, raw_scale = raw
        s, logs = self._scale(raw_scale)
        x = y / s - t if self.shift_first else (y - t) / s
        return x, -logs.expand(y.shape)
