"""RRDB encoder (ESRGAN's generator) with tapped blocks, as SRFlow conditions on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.features import Features, beside
from models.restoration.encoders.concatenation import kept_in_parts

_RESIDUAL = 0.2  # ESRGAN: residual branches are scaled by 0.2
_INIT = 0.1  # ESRGAN: Kaiming initialisation of the trunk, scaled by 0.1


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each seeing all before it; the sum with the input is scaled by 0.2."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        widths = [growth] * 4 + [channels]
        convs = [nn.Conv2d(channels + i * growth, width, 3, padding=1) for i, width in enumerate(widths)]
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data.mul_(_INIT)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        maps, seen = [x], x
        with kept_in_parts() as cat:
            for conv in list(self.convs)[:-1]:
                maps.append(F.leaky_relu(conv(seen), 0.2, inplace=True))
                seen = cat(*maps)
            update: Tensor = self.convs[-1](seen)
        return x + _RESIDUAL * update


class ResidualInResidualBlock(nn.Module):
    """Three dense blocks around one more scaled residual connection."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return x + _RESIDUAL * self.blocks(x)


class RRDBEncoder(nn.Module):
    """LR image ``(B, 3, h, w)`` in [0, 1] to features for each level of a flow.

    Level l of the flow lives at ``scale / 2^l`` times the LR size. Its features are the trunk's output
    brought there (x2 steps of nearest + conv upwards, bilinear downwards) beside the outputs of the tapped
    blocks, resized by nearest. ``restore`` is the network's own super-resolution head, for pretraining.

    Raises ValueError if a tap does not exist or the scale is no power of two.
    """

    def __init__(self, channels: int, blocks: int, growth: int, taps: Sequence[int], scale: int) -> None:
        super().__init__()
        if any(not 0 <= tap < blocks for tap in taps):
            raise ValueError(f"encoder: taps {list(taps)} must lie in 0..{blocks - 1} (there are {blocks} blocks)")
        if scale < 2 or scale & (scale - 1):
            raise ValueError(f"encoder: scale must be a power of two, got {scale}")
        self.taps = tuple(taps)
        self.scale = scale
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.trunk = nn.ModuleList(ResidualInResidualBlock(channels, growth) for _ in range(blocks))
        self.trunk_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.ups = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(int(math.log2(scale))))
        self.hr_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)
        self.feature_channels = channels * (1 + len(self.taps))

    def forward(self, lr: Tensor, levels: int) -> dict[int, Features | Tensor]:
        """Return ``{level: (B, feature_channels, h * scale / 2^level, ...)}`` for levels 1..levels.

        Where taps are to be enlarged they are left as they are, see ``Features``.
        """
        trunk, tapped = self._trunk(lr)
        maps = {1.0: trunk, 0.5: F.interpolate(trunk, scale_factor=0.5, mode="bilinear", align_corners=False)}
        feature, factor = trunk, 1.0
        for up in self._ups_for_levels():
            enlarged = up(F.interpolate(feature, scale_factor=2, mode="nearest"))
            feature, factor = F.leaky_relu(enlarged, 0.2), factor * 2
            maps[factor] = feature  # activated: SRFlow reads the map after an in-place activation
        return {level: beside(maps[self.scale / 2**level], tapped) for level in range(1, levels + 1)}

    def restore(self, lr: Tensor) -> Tensor:
        """Return the head's restoration ``(B, 3, h * scale, w * scale)``, un-clamped."""
        feature, _ = self._trunk(lr)
        for up in self.ups:
            feature = F.leaky_relu(up(F.interpolate(feature, scale_factor=2, mode="nearest")), 0.2)
        restored: Tensor = self.last(F.leaky_relu(self.hr_conv(feature), 0.2))
        return restored

    def freeze_head(self) -> None:
        """Stop gradients for the parts that no level reads: a flow has no use for them, DDP would wait."""
        for module in (*list(self.ups)[len(self._ups_for_levels()) :], self.hr_conv, self.last):
            module.requires_grad_(False)

    def _ups_for_levels(self) -> list[nn.Module]:
        return list(self.ups)[:-1]  # the first level squeezes once, so the full HR size is never read

    def _trunk(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trunk's output and the tapped blocks side by side, both at LR size."""
        x, tapped = self.first(lr), []
        for index, block in enumerate(self.trunk):
            x = block(x)
            if index in self.taps:
                tapped.append(x)
        # around the last convolution alone, as SRFlow computes it; ESRGAN's skip spans the whole trunk
        return x + self.trunk_conv(x), torch.cat(tapped, 1) if tapped else x[:, :0]
