"""What a level of a flow sees of the encoder: its own maps, beside coarser ones that are enlarged by nearest.

**A convolution of an enlarged map needs no enlarged map.** Let u[y] = c[y div r], one axis, and o[y] = sum over t in
{0, 1, 2} of w[t] u[y + t - 1], with zeros around u. Then c[i] is in o[y] with the sum of those w[t] for which
0 <= y + t - 1 - r i < r. With k = y + 1 - r i that is

    o[r i + k - 1] += c[i] K[k],   K[k] = sum of w[t] over t with 0 <= k + t - 2 < r,   k = 0 .. r + 1

which is the transposed convolution of c with K, stride r and padding 1; zeros around u are zeros around c. Both axes
do this one after the other, so it costs (r + 2)^2 products per coarse pixel in place of 9 r^2: 16 for 36 at r = 2, 36
for 144 at r = 4. It is the same sum in another order, exact but for rounding.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Features(NamedTuple):
    """Maps ``(B, C, H, W)`` of a level, and ``(B, C', H / r, W / r)`` of which it sees the enlargement by nearest.

    r is a whole number above 1, the same for both axes. As one map it has C + C' channels, ``own`` first.
    """

    own: Tensor
    coarse: Tensor

    @property
    def factor(self) -> int:
        """Return r."""
        return self.own.shape[2] // self.coarse.shape[2]


def beside(own: Tensor, resized: Tensor) -> Features | Tensor:
    """Return ``own`` ``(B, C, H, W)`` beside ``resized`` ``(B, C', h, w)``, which is to be resized by nearest.

    One map ``(B, C + C', H, W)`` but where h and w are the smaller ones: there nothing need be enlarged.
    """
    if not resized.shape[1]:
        return own
    if resized.shape[2] < own.shape[2]:
        return Features(own, resized)
    return torch.cat([own, F.interpolate(resized, size=own.shape[2:], mode="nearest")], 1)


def whole(features: Features | Tensor) -> Tensor:
    """Return ``features`` as one map ``(B, C + C', H, W)``."""
    if isinstance(features, Tensor):
        return features
    return torch.cat([features.own, F.interpolate(features.coarse, size=features.own.shape[2:], mode="nearest")], 1)


def convolved(features: Features | Tensor, conv: nn.Conv2d) -> Tensor:
    """Return ``conv(whole(features))``, ``(B, out, H, W)``; ``conv``: 3x3, padding 1, without bias."""
    if isinstance(features, Tensor):
        result: Tensor = conv(features)
        return result
    own, coarse = conv.weight.split([features.own.shape[1], features.coarse.shape[1]], 1)
    return F.conv2d(features.own, own, padding=1) + convolved_enlargement(features.coarse, coarse, features.factor)


def convolved_enlargement(coarse: Tensor, weight: Tensor, factor: int) -> Tensor:
    """Return the convolution by ``weight`` ``(out, C', 3, 3)`` of ``coarse`` ``(B, C', h, w)``, enlarged."""
    return F.conv_transpose2d(coarse, _transposed(weight, factor), stride=factor, padding=1)


def _transposed(weight: Tensor, factor: int) -> Tensor:
    """Return K along both axes, ``(C', out, factor + 2, factor + 2)``, of ``weight`` ``(out, C', 3, 3)``."""
    size = factor + 2
    with torch.autocast(weight.device.type, enabled=False):  # sums are rounded once, where they are used
        sums = weight.flatten(2) @ _sums(factor, weight.device, weight.dtype)
    return sums.unflatten(2, (size, size)).transpose(0, 1)


@functools.lru_cache(maxsize=16)
def _sums(factor: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return ``(9, (factor + 2)^2)`` of ones where K along both axes has that weight, zeros elsewhere."""
    # A tensor made inside of inference_mode could never be part of a graph later; the cache outlives the block.
    with torch.inference_mode(False):
        t, k = torch.arange(3)[:, None], torch.arange(factor + 2)
        axis = ((k + t >= 2) & (k + t < factor + 2)).to(device, dtype)
        return torch.kron(axis, axis)
