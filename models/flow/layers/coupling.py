"""Coupling layers, conditional (eq. 4 of paper A) or not (paper B, eqs. 3 and 4), and SRFlow's injector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.flow.bijection import Bijection, check_condition, sum_pixels
from models.flow.features import Features
from models.flow.layers.conditional_net import ConditionalNet, CouplingNet
from models.flow.transforms import Shield, Transform


class Coupling(Bijection):
    """z = (x1, c(x2; NN(x1, f))): the first half of the channels decides what happens to the second.

    ``reads``: which of the features its net sees, "encoder" (SRFlow) or "noise" (NCSR's noise-conditional
    layer, which sees the noise map instead). ``net`` makes its net of (channels of x1, feature channels, hidden
    channels, channels out). Without feature channels it is unconditional: its net sees x1 alone.
    """

    def __init__(
        self,
        channels: int,
        transform: Transform | Shield,
        feature_channels: int,
        hidden: int,
        reads: str = "encoder",
        net: Callable[[int, int, int, int], CouplingNet] = ConditionalNet,
    ) -> None:
        super().__init__()
        self.passed = channels // 2
        self.transformed = channels - self.passed
        self.transform = transform
        self.reads = reads
        self.conditional = feature_channels > 0
        out = transform.parameters_per_channel * self.transformed
        self.net = net(self.passed, feature_channels, hidden, out)

    def share(self, features: Mapping[str, Features | Tensor] | None) -> Tensor | None:
        """Return the net's share of ``features[reads]``; None for an unconditional coupling."""
        return self.net.share(features[self.reads]) if self.conditional else None  # type: ignore[index]

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Transform the second half; see the contract."""
        x1, x2, raw = self._halves(x, condition)
        z2, log_derivative = self.transform.forward(x2, raw)
        return torch.cat([x1.to(z2.dtype), z2], 1), sum_pixels(log_derivative, x.shape[0])

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Transform the second half back; see the contract."""
        z1, z2, raw = self._halves(z, condition)
        x2, log_derivative = self.transform.inverse(z2, raw)
        return torch.cat([z1.to(x2.dtype), x2], 1), sum_pixels(log_derivative, z.shape[0])

    def _halves(self, x: Tensor, condition: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return the half that passes, the half that is transformed, and the raw parameters for the latter."""
        if self.conditional:
            check_condition(self, x, condition, self.net.shared_shape(x.shape[2], x.shape[3]))
        passed = x[:, : self.passed]
        return passed, x[:, self.passed :], self.net(passed, condition)


class Injector(Bijection):
    """z = c(x; NN(f)) on all channels: parameters from the features alone, so all of them are shared.

    Raises ValueError for a condition whose shape does not fit the input.
    """

    def __init__(self, channels: int, transform: Transform | Shield, feature_channels: int, hidden: int) -> None:
        super().__init__()
        self.transformed = channels
        self.transform = transform
        self.net = ConditionalNet(0, feature_channels, hidden, transform.parameters_per_channel * channels)

    def share(self, features: Mapping[str, Features | Tensor]) -> Tensor:
        """Return the raw parameters themselves."""
        raw: Tensor = self.net(None, self.net.share(features["encoder"]))
        return raw

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Transform every channel; see the contract."""
        self._check(x, condition)
        z, log_derivative = self.transform.forward(x, condition)
        return z, sum_pixels(log_derivative, x.shape[0])

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Transform every channel back; see the contract."""
        self._check(z, condition)
        x, log_derivative = self.transform.inverse(z, condition)
        return x, sum_pixels(log_derivative, z.shape[0])

    def _check(self, x: Tensor, condition: Any) -> None:
        raw_channels = self.transform.parameters_per_channel * self.transformed
        check_condition(self, x, condition, (raw_channels, x.shape[2], x.shape[3]))
