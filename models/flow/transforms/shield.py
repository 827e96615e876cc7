"""A transform made safe for inputs that no photograph resembles, without training: the shield.

With [a, b] the range of values and R the box of raw parameters that photographs were seen to produce, h' the raw
parameters clamped smoothly into R (models/flow/ranges.py), and k(x) = min(max(x, a), b),

    s(x; h) = c(k(x); h') + x - k(x)

**A bijection.** On [a, b] it is c(x; h'), which increases strictly; below a it is x + c(a; h') - a and above b
x + c(b; h') - b: slope 1, continuous at both ends, so it is an increasing map of the real line onto itself. Its
inverse is c^-1(k'(y); h') + y - k'(y), k' clamping to [c(a; h'), c(b; h')]. Its log-derivative is that of c inside
and 0 outside.

**Its displacement is bounded.** s(x; h) - x = c(k(x); h') - k(x) is one of the values that c(x; h') - x has for x in
[a, b] and h' in R, which ``Transform.displacement_within`` bounds; and s^-1(y) - y = -(s(x) - x) with x = s^-1(y).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.flow.ranges import JointRange, Range
from models.flow.transforms.transform import Transform, full_precision


class Shield(nn.Module):
    """``inner`` within its ranges, slope 1 outside; used as any transform.

    ``channels`` is the number of channels it transforms; 1 serves any number, with the same range for all of them.
    ``margin``: see models/flow/ranges.py. The ranges are tensors of the state_dict.
    """

    def __init__(self, inner: Transform, channels: int, margin: float) -> None:
        super().__init__()
        self.inner = inner
        self.parameters_per_channel = inner.parameters_per_channel
        self.raw = JointRange(channels * inner.parameters_per_channel, margin)
        self.values = Range(channels, margin)

    def derivative_bounds(self) -> tuple[float, float]:
        """Return the inner transform's bounds, widened to hold 1."""
        least, most = self.inner.derivative_bounds()
        return min(1.0, least), max(1.0, most)

    def displacement_bound(self) -> float:
        """Return a bound of |s(x; h) - x|, and so of |s^-1(y; h) - y|, over all channels."""
        return float(torch.stack(self.displacements()).abs().max())

    @torch.no_grad()
    def displacements(self) -> tuple[Tensor, Tensor]:
        """Return bounds of s(x; h) - x from below and above per channel, ``(channels,)`` each, in float64."""
        low, high = (end.double().unflatten(0, (-1, self.parameters_per_channel)) for end in self.raw.limits())
        return self.inner.displacement_within((self.values.low.double(), self.values.high.double()), low, high)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(y, log_derivative)``, both shaped as x, nats."""
        x, h = full_precision(x), self._clamped(h)
        if self.values.recording:
            self.values.see(x)
            return self.inner.forward(x, h)
        inside = self._inside(x)
        y, log_derivative = self.inner.forward(inside, h)
        return y + (x - inside), log_derivative * (x == inside)

    def inverse(self, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(x, log_derivative)`` of the inverse, both shaped as y, nats."""
        y, h = full_precision(y), self._clamped(h)
        if self.values.recording:
            x, log_derivative = self.inner.inverse(y, h)
            self.values.see(x)
            return x, log_derivative
        ends = [end.expand_as(y) for end in self.values.ends(y)]
        low, high = (self.inner.forward(end, h)[0] for end in ends)
        inside = torch.minimum(torch.maximum(y, low), high)
        x, log_derivative = self.inner.inverse(inside, h)
        return x + (y - inside), log_derivative * (y == inside)

    def _clamped(self, h: Tensor) -> Tensor:
        clamped: Tensor = self.raw(full_precision(h))
        return clamped

    def _inside(self, x: Tensor) -> Tensor:
        low, high = self.values.ends(x)
        return torch.minimum(torch.maximum(x, low), high)
