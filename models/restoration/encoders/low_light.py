"""LLFlow's conditional encoder (Wang et al. 2022): low-light picture to features of each level and a colour map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.features import Features, beside
from models.restoration.encoders.rrdb import ResidualInResidualBlock

INPUT_CHANNELS = 6  # log of the picture and its equalized histogram
LEVELS = 3
_RATIO_FLOOR = 1e-4  # LLFlow: keeps the ratio of a black pixel finite


class LowLightEncoder(nn.Module):
    """``(B, 6, H, W)`` to features for levels 1..3 and to the learned colour map g.

    Channels 0..2 are log(clamp(picture + 1e-3, min=1e-3)) with the picture in [0, 1], channels 3..5 its
    equalized histogram in [0, 1] (of the whole picture, before any crop). H and W must be multiples of 8.
    Two hand-made maps are computed from the picture and seen as well: the colour ratio of every pixel and
    where it changes. The trunk runs at half size; each level's features are the trunk brought to its size
    beside the outputs of the tapped blocks, resized by nearest.

    Raises ValueError if a tap does not exist.
    """

    def __init__(self, channels: int, blocks: int, growth: int, taps: Sequence[int]) -> None:
        super().__init__()
        if any(not 0 <= tap < blocks for tap in taps):
            raise ValueError(f"encoder: taps {list(taps)} must lie in 0..{blocks - 1} (there are {blocks} blocks)")
        self.taps = tuple(taps)
        self.first = nn.Conv2d(INPUT_CHANNELS + 6, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.trunk = nn.ModuleList(ResidualInResidualBlock(channels, growth) for _ in range(blocks))
        self.trunk_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(LEVELS - 1))
        self.to_color = nn.Conv2d(channels, 3, 1)
        self.feature_channels = channels * (1 + len(self.taps))

    def forward(self, seen: Tensor) -> tuple[dict[int, Features | Tensor], Tensor]:
        """Return ``{level: (B, feature_channels, H / 2^level, W / 2^level)}`` and g, ``(B, 3, H, W)`` in (0, 1)."""
        colors = color_ratio(seen[:, :3].exp())
        full = F.leaky_relu(self.first(torch.cat([seen, colors, change(colors)], 1)), 0.2)
        head = F.max_pool2d(self.second(full), 2)
        x, tapped = head, []
        for index, block in enumerate(self.trunk):
            x = block(x)
            if index in self.taps:
                tapped.append(x)
        feature = head + self.trunk_conv(x)
        color_map = torch.sigmoid(self.to_color(F.interpolate(feature, scale_factor=2, mode="nearest")))
        maps = [feature]
        for index, down in enumerate(self.downs, 1):
            feature = down(F.interpolate(feature, scale_factor=0.5, mode="bilinear", align_corners=False))
            if index < len(self.downs):
                feature = F.leaky_relu(feature, 0.2)  # published in place: level 2 reads it activated, level 3 not
            maps.append(feature)
        taps = torch.cat(tapped, 1) if tapped else feature[:, :0]
        return {level: beside(feature, taps) for level, feature in enumerate(maps, 1)}, color_map


def color_ratio(picture: Tensor) -> Tensor:
    """Return each channel's share of its pixel's brightness, ``(B, 3, H, W)`` of values >= 0 to the same shape."""
    return picture / (picture.sum(1, keepdim=True) + _RATIO_FLOOR)


def change(values: Tensor) -> Tensor:
    """Return max(|d/dy|, |d/dx|) by central differences with zeros outside, ``(B, C, H, W)`` to the same shape."""
    padded = F.pad(values, (1, 1, 1, 1))
    down = 0.5 * (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1])
    right = 0.5 * (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2])
    return torch.maximum(down.abs(), right.abs())
