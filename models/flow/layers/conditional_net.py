"""The network inside a conditional coupling, split at the seam of shared conditioning.

Its first convolution is linear: conv(cat(x, f)) = conv_x(x) + conv_f(f). ``share`` computes conv_f(f),
which depends on the encoder's features alone, once per image; ``forward`` does the rest per draw.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.flow.features import Features, convolved
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.normalized_relu import normalized_relu

_INIT_STD = 0.05  # Glow and SRFlow: hidden convolutions start from N(0, 0.05)


class CouplingNet(Protocol):
    """What a coupling asks of the network inside of it; it is built as ``ConditionalNet`` is."""

    def shared_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of what ``share`` returns for features of this size, the batch left out."""
        ...

    def share(self, features: Any) -> Tensor:
        """Return what depends on the features alone; not called where there are none."""
        ...

    def __call__(self, x: Tensor | None, shared: Tensor | None) -> Tensor:
        """Return raw parameters."""
        ...


class UnconditionalNet(nn.Module):
    """The base of nets that see x alone; a coupling without feature channels asks them for nothing else."""

    def shared_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Raise ValueError: there are no features."""
        raise ValueError(f"{type(self).__name__} sees no features, so nothing of them is shared")

    def share(self, features: Any) -> Tensor:
        """Raise ValueError: there are no features."""
        raise ValueError(f"{type(self).__name__} sees no features, so nothing of them is shared")


class ZeroConv2d(nn.Module):
    """A 3x3 convolution that starts at zero, times exp(3 * logs) per output channel (Glow)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.logs = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in, H, W)`` to ``(B, out, H, W)``."""
        scaled: Tensor = self.conv(x) * (self.logs * 3.0).exp()
        return scaled


class ConditionalNet(nn.Module):
    """conv3x3 - actnorm - relu - conv1x1 - actnorm - relu - zero conv3x3 (SRFlow's F).

    ``x_channels`` is 0 where the parameters depend on the features alone (the injector), ``feature_channels`` where
    they depend on x alone (Glow).
    """

    def __init__(self, x_channels: int, feature_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.from_x = _conv(x_channels, hidden, 3) if x_channels else None
        self.from_features = _conv(feature_channels, hidden, 3) if feature_channels else None
        self.norm1 = ActNorm(hidden)
        self.mix = _conv(hidden, hidden, 1)
        self.norm2 = ActNorm(hidden)
        self.out = ZeroConv2d(hidden, out_channels)

    def shared_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return ``(hidden, height, width)``."""
        return self.mix.in_channels, height, width

    def share(self, features: Features | Tensor) -> Tensor:
        """Return conv_f(features), ``(B, hidden, H, W)``: the part that all draws have in common."""
        return convolved(features, self.from_features)  # type: ignore[arg-type]

    def forward(self, x: Tensor | None, shared: Tensor | None) -> Tensor:
        """Return raw parameters ``(B, out, H, W)`` for ``x`` ``(B, x_channels, H, W)``, or for no x at all.

        A ``shared`` of batch 1 broadcasts over the batch of ``x``.
        """
        parts = [None if self.from_x is None else self.from_x(x), shared]
        h, *rest = (part for part in parts if part is not None)
        h = normalized_relu(h, self.norm1, *rest)
        h = normalized_relu(self.mix(h), self.norm2)
        raw: Tensor = self.out(h)
        return raw


def _conv(in_channels: int, out_channels: int, size: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, size, padding=size // 2, bias=False)
    nn.init.normal_(conv.weight, 0.0, _INIT_STD)
    return conv
