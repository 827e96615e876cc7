"""Paper A's toy inverse problem (section 3.1.1, appendix A.2) and its exact answer.

    x = M u, u uniform on (-1, 1)^2;   y = H x + e, e ~ N(0, 0.01^2 I);   out of distribution: y + (0.8, -0.8)

x fills a parallelogram inside of [-1, 1]^2. H^-1 (0.8, -0.8) = (2, -2): whoever just inverts H answers a shifted
y with a point that lies outside of [-1, 1]^2, without anything having exploded.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.seeds import generator as named

MIX = np.array([[math.sqrt(3) / 4, -1 / 10], [1 / 4, -math.sqrt(3) / 10]])  # appendix A.2, eq. 1
DEGRADATION = np.array([[0.7, 0.3], [0.3, 0.7]])  # eq. 7
NOISE_STD = 0.01
SHIFT = (0.8, -0.8)  # eq. 8


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return ``count`` pairs (x, y), each ``(count, 2, 1, 1)`` float32."""
    u = torch.rand(count, 2, dtype=torch.float64, generator=generator) * 2 - 1
    noise = torch.randn(count, 2, dtype=torch.float64, generator=generator) * NOISE_STD
    x = u @ torch.from_numpy(MIX).T
    y = x @ torch.from_numpy(DEGRADATION).T + noise
    return x.float()[:, :, None, None], y.float()[:, :, None, None]


def held_out(count: int) -> tuple[Tensor, Tensor]:
    """Return the pairs that every flow is measured on."""
    return draw(count, named("toy2d", "held out"))


def shifted(y: Tensor, shift: tuple[float, float] = SHIFT) -> Tensor:
    """Return the out-of-distribution conditions for ``y`` ``(B, 2, 1, 1)``."""
    return y + y.new_tensor(shift)[:, None, None]


def exact_nll(x: Tensor, y: Tensor) -> float:
    """Return the mean of -log p(x | y), nats: what a perfect model reaches, and none can beat but by chance.

    u given y is N(K^-1 y, 0.01^2 (K^T K)^-1), K = H M, cut off at the box (-1, 1)^2.
    """
    from scipy.stats import multivariate_normal  # type: ignore[import-untyped]

    to_u = np.linalg.inv(DEGRADATION @ MIX)
    covariance = NOISE_STD**2 * to_u @ to_u.T
    mean = y.double().flatten(1).numpy() @ to_u.T
    u = x.double().flatten(1).numpy() @ np.linalg.inv(MIX).T
    inside = multivariate_normal.cdf(1 - mean, cov=covariance, lower_limit=-1 - mean)
    log_density = multivariate_normal.logpdf(u - mean, cov=covariance) - np.log(inside)
    return float(-np.mean(log_density) + np.log(abs(np.linalg.det(MIX))))
