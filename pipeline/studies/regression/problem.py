"""Paper B's toy regression (appendix F, eqs. 13 and 14): map the plane onto a line, almost.

    x ~ N(0, I);   y1 ~ N(0, 1e-24), independent of x;   y2 = x2

What a map can know of y1 is its mean, so the best one sends every x to (0, x2), and has no inverse.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.seeds import generator

NOISE_VARIANCE = 1e-24


def pairs(count: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets, each ``(count, 2, 1, 1)`` float32; the same ones for every model."""
    stream = generator("regression", "pairs")
    x = torch.randn(count, 2, 1, 1, generator=stream)
    noise = NOISE_VARIANCE**0.5 * torch.randn(count, 1, 1, 1, generator=stream)
    return x, torch.cat([noise, x[:, 1:]], 1)
