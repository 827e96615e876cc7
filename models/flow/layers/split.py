"""Split: half of the channels leave the flow early, standardized by a prior that the other half predicts.

Glow's Split2d with a learned prior: z2 ~ N(mean(z1), exp(logs(z1))^2). Written as a bijection: what leaves
is eps = (z2 - mean) / exp(logs), so that all of the latent is N(0, I) and log_det carries -sum(logs).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow.bijection import Bijection, sum_pixels
from models.flow.caps import Caps, soft_cap, soft_cap_above
from models.flow.layers.conditional_net import ZeroConv2d
from models.flow.ranges import JointRange


class Split(Bijection):
    """Pass half of the channels to ``rest``, standardize the other half.

    ``rest`` maps ``(B, C / 2, H, W)`` to ``(B, C', H / factor, W / factor)``. The latent is one tensor at
    that coarse size, ``(B, C' + C / 2 * factor^2, H / factor, W / factor)``: what left early is squeezed
    and stands behind what came through. ``caps`` bounds the prior's mean, and its log standard deviation from above:
    it is a large one that carries what left early away, a small one carries it nowhere. ``prior_range``, if there is
    one, holds both within what photographs produce (interleaved channels).
    """

    def __init__(self, channels: int, rest: Bijection, factor: int, caps: Caps | None = None) -> None:
        super().__init__()
        self.caps = caps or Caps()
        self.passed = channels // 2
        self.consumed = channels - self.passed
        self.factor = factor
        self.prior = ZeroConv2d(self.passed, 2 * self.consumed)
        self.rest = rest
        self.prior_range: JointRange | None = None

    def share(self, features: Any) -> Any:
        """Return the condition of ``rest``."""
        return self.rest.share(features)

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Standardize the second half and send the first on; see the contract."""
        x1, x2 = x[:, : self.passed], x[:, self.passed :]
        mean, logs = self._prior(x1)
        eps = (x2 - mean) * (-logs).exp()
        z1, log_det = self.rest(x1, condition)
        z = torch.cat([z1, F.pixel_unshuffle(eps, self.factor)], 1)
        return z, log_det - sum_pixels(logs, x.shape[0])

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Restore the first half, then the second from its prior; see the contract."""
        early = self.consumed * self.factor**2
        z1, squeezed = z[:, :-early], z[:, -early:]
        x1, log_det = self.rest.inverse(z1, condition)
        mean, logs = self._prior(x1)
        x2 = mean + logs.exp() * F.pixel_shuffle(squeezed, self.factor)
        return torch.cat([x1, x2], 1), log_det + sum_pixels(logs, z.shape[0])

    def prior_bounds(self) -> tuple[float, float]:
        """Return bounds of |mean| and of the standard deviation, for all that came through; inf where there is none."""
        mean, log_scale = self.caps.prior_mean, self.caps.prior_log_scale
        if self.prior_range is not None:
            low, high = (end.unflatten(0, (-1, 2)) for end in self.prior_range.limits())
            mean = min(mean, float(torch.maximum(low[:, 0].abs(), high[:, 0].abs()).max()))
            log_scale = min(log_scale, float(high[:, 1].max()))
        return mean, math.exp(log_scale) if log_scale < 700.0 else math.inf

    def _prior(self, passed: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation, ``(B, C / 2, H, W)`` each (interleaved channels)."""
        with torch.autocast(passed.device.type, enabled=False):
            parameters = self.prior(passed)
        if self.prior_range is not None:
            parameters = self.prior_range(parameters)
        mean, logs = parameters.unflatten(1, (-1, 2)).unbind(2)
        return soft_cap(mean, self.caps.prior_mean), soft_cap_above(logs, self.caps.prior_log_scale)
