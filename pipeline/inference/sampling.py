"""Draws from a conditional flow: draw i of a picture is the same whatever batch it is drawn in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.seeds import generator

# HR pixels decoded at once. In a process that does little else, more cost a tenth to a fifth more each: the C library
# gives large maps back and takes them anew (docs/performance.md). A GPU wants much to do at a time.
_ON_A_PROCESSOR, _ELSEWHERE = 80_000, 1 << 20
_PIECE = 1 << 22  # values drawn at once, a multiple of _GROUP
_GROUP = 16  # values that torch makes together, also those at the end of a tensor, which it draws anew


def latents(shape: tuple[int, int, int], draws: range, temperature: float, seed: int, picture: str) -> Tensor:
    """Return ``(len(draws), C, H, W)``: draw i is temperature * N(0, I), seeded by (seed, picture, i)."""
    each = [torch.randn(shape, generator=generator("latent", seed, picture, draw)) for draw in draws]
    return temperature * torch.stack(each)


def latent_rows(
    shape: tuple[int, int, int], rows: slice, draw: int, temperature: float, seed: int, picture: str
) -> Tensor:
    """Return ``(1, C, len(rows), W)``, the rows of what ``latents`` returns for one draw; the others are not held.

    All are drawn, in pieces, since a generator cannot skip: a second for some 10^8 of them.
    """
    channels, height, width = shape
    plane, values = height * width, channels * height * width
    random = generator("latent", seed, picture, draw)
    kept = torch.empty(channels, (rows.stop - rows.start) * width)
    start = 0
    while start < values:
        left = values - start
        # a last piece of less than a group would be drawn otherwise than it is at the end of a larger one
        size = left if left < _PIECE + _GROUP else _PIECE
        piece = torch.randn(size, generator=random)
        for channel in range(start // plane, -(-(start + size) // plane)):
            origin = channel * plane + rows.start * width
            first, last = max(start, origin), min(start + size, origin + kept.shape[1])
            if first < last:
                kept[channel, first - origin : last - origin] = piece[first - start : last - start]
        start += size
    return kept.mul_(temperature).view(1, channels, -1, width)


class LatentBand:
    """The latents of one draw, of which a band of rows is held at a time: ``most`` bytes, or what is asked for."""

    def __init__(
        self, shape: tuple[int, int, int], draw: int, temperature: float, seed: int, picture: str, most: int
    ) -> None:
        self.shape = shape
        self._seeded = (draw, temperature, seed, picture)
        self._fits = most // (4 * shape[0] * shape[2])
        self._start, self._held = 0, torch.empty(1, shape[0], 0, shape[2])

    def rows(self, wanted: slice) -> Tensor:
        """Return ``(1, C, len(wanted), W)``; rows that are asked for from above to below are drawn the fewest times."""
        if not self._start <= wanted.start <= wanted.stop <= self._start + self._held.shape[2]:
            stop = min(self.shape[1], max(wanted.stop, wanted.start + self._fits))
            self._held = torch.empty(0)  # before the next one is made
            self._start = wanted.start
            self._held = latent_rows(self.shape, slice(wanted.start, stop), *self._seeded)
        return self._held[:, :, wanted.start - self._start : wanted.stop - self._start]


@torch.no_grad()
def draw_images(
    network: Any, seen: Tensor, draws: int, temperature: float, seed: int, picture: str
) -> Iterator[Tensor]:
    """Yield ``draws`` un-clamped restorations ``(3, H, W)`` of what the network sees of one picture, ``(1, C, h, w)``.

    The encoder and all else that depends on the picture alone runs once. Sizes that the network cannot take are
    padded by reflection and cropped again.
    """
    height, width = seen.shape[2] * network.scale, seen.shape[3] * network.scale
    padded = pad_to_multiple(seen, network.multiple)
    condition = network.share(padded)
    shape = network.latent_shape(*padded.shape[2:])
    chunk = draws_at_once(padded.shape[2] * padded.shape[3] * network.scale**2, seen.device)
    for first in range(0, draws, chunk):
        z = latents(shape, range(first, min(first + chunk, draws)), temperature, seed, picture)
        images, _ = network.inverse(z.to(seen.device), condition)
        yield from images[:, :, :height, :width]


def draws_at_once(pixels: int, device: torch.device) -> int:
    """Return how many draws of as many HR pixels are decoded as one batch, at least 1."""
    return max(1, (_ON_A_PROCESSOR if device.type == "cpu" else _ELSEWHERE) // pixels)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Return ``(B, C, H, W)`` enlarged at the lower right by reflection to multiples of ``multiple``."""
    down, right = -image.shape[2] % multiple, -image.shape[3] % multiple
    if not (down or right):
        return image
    # reflection needs more pixels than it adds; a picture of one row repeats it
    mode = "reflect" if down < image.shape[2] and right < image.shape[3] else "replicate"
    return F.pad(image, (0, right, 0, down), mode=mode)
