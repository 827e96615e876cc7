"""The contract of an elementwise transform c(x; h): what a coupling does to each value.

Shapes: x ``(B, C, H, W)``; h ``(B, P * C, H, W)`` with P raw parameters per channel, those of one
channel side by side (channel c owns h[:, P * c : P * (c + 1)]). A batch of 1 in h broadcasts over x.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Transform(ABC):
    """A strictly increasing map of the real line for each value, given raw parameters.

    Raw parameters are unbounded; all zeros give a map close to the identity. Computed in float32 at
    least, also under autocast: an inverse in half precision is not the inverse.
    """

    parameters_per_channel: ClassVar[int]
    shift_place: ClassVar[int] = 0  # which of a channel's raw parameters is the shift

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """Return the names of the numbers that the constructor takes."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def examples(cls) -> list[Self]:
        """Return the instances that the contract test runs on."""
        return [cls()]

    @abstractmethod
    def derivative_bounds(self) -> tuple[float, float]:
        """Return (least, most) that c' can be, for every x and all finite raw parameters."""

    @abstractmethod
    def displacement_bound(self) -> float:
        """Return a bound of |c(x) - x| over every x and all finite raw parameters; inf if there is none."""

    def displacement_within(self, values: tuple[Tensor, Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds of c(x) - x from below and above per channel, ``(C,)``, for x and raw parameters within ranges.

        ``values``: the least and the largest x per channel, ``(C,)`` each. ``low``, ``high``: of the raw parameters,
        ``(C, P)``.
        """
        most = torch.full_like(values[0], self.displacement_bound())
        return -most, most

    def centring_shift(self, x: Tensor) -> Tensor:
        """Return a raw shift that brings ``x`` to 0, or towards it where shifts are bounded; others are zero."""
        return -x

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(y, log_derivative)``: y = c(x; h) and log c'(x; h), both shaped as x, nats."""
        with torch.autocast(x.device.type, enabled=False):
            return self._evaluate(full_precision(x), full_precision(h), inverse=False)

    def inverse(self, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(x, log_derivative)``: x = c^-1(y; h) and log dx/dy, both shaped as y, nats."""
        with torch.autocast(y.device.type, enabled=False):
            return self._evaluate(full_precision(y), full_precision(h), inverse=True)

    def _evaluate(self, x: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        return (self._inverse if inverse else self._forward)(x, *self._raw(h))

    def _raw(self, h: Tensor) -> tuple[Tensor, ...]:
        return h.unflatten(1, (-1, self.parameters_per_channel)).unbind(2)

    @abstractmethod
    def _forward(self, x: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def _inverse(self, y: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]: ...


def full_precision(values: Tensor) -> Tensor:
    """Return ``values`` in float32 at least."""
    return values if values.dtype == torch.float64 else values.float()
