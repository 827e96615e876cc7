"""Caps on what amplifies besides the transform: Split's prior, ActNorm, learned 1x1 convolutions, the bicubic base."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Caps:
    """Bounds on the layers around the couplings; inf is the published network, with the same weights.

    ``prior_mean`` and ``prior_log_scale``: of |mean|, and of the log scale from above, that Split's prior predicts.
    ``actnorm_log_scale``: of |log scale| of the flow's own ActNorms (those inside of nets carry no signal).
    ``singular_value``: k such that all singular values of a learned 1x1 convolution lie in [1/k, k].
    ``overshoot``: how far the enlarged LR picture, to which a super-resolution flow adds, may leave [0, 1]. Bicubic
    enlargement of a checkerboard alone reaches 1.44, next to 1.5 where a pixel counts as bad.
    Raises ValueError unless all are positive (``overshoot``: or zero) and ``singular_value`` is 1 at least.
    """

    prior_mean: float = math.inf
    prior_log_scale: float = math.inf
    actnorm_log_scale: float = math.inf
    singular_value: float = math.inf
    overshoot: float = math.inf

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not (value > 0 or (name == "overshoot" and value == 0)):
                raise ValueError(f"caps: {name} must be positive, got {value}")
        if self.singular_value < 1:
            raise ValueError(f"caps: singular_value must be 1 or more, got {self.singular_value}")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the numbers that the constructor takes."""
        return tuple(field.name for field in dataclasses.fields(cls))


def soft_cap(values: Tensor, cap: float) -> Tensor:
    """Return cap * tanh(values / cap): nearly ``values`` where they are small, below ``cap`` in size everywhere."""
    return values if math.isinf(cap) else cap * torch.tanh(values / cap)


def soft_cap_above(values: Tensor, cap: float) -> Tensor:
    """Return ``values`` where they are 0 or less and ``soft_cap`` of them elsewhere; smooth, with two derivatives."""
    return values if math.isinf(cap) else torch.where(values > 0.0, soft_cap(values, cap), values)


def undo_soft_cap(values: Tensor, cap: float) -> Tensor:
    """Return what ``soft_cap`` maps to ``values``, which are brought to 99 % of ``cap`` where they exceed it."""
    return values if math.isinf(cap) else cap * torch.atanh((values / cap).clamp(-0.99, 0.99))
