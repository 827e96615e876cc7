"""Draws from a conditional flow: draw i of a picture is the same whatever batch it is drawn in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.seeds import generator

_CHUNK_PIXELS = 1 << 20  # HR pixels decoded at once


def latents(shape: tuple[int, int, int], draws: range, temperature: float, seed: int, picture: str) -> Tensor:
    """Return ``(len(draws), C, H, W)``: draw i is temperature * N(0, I), seeded by (seed, picture, i)."""
    each = [torch.randn(shape, generator=generator("latent", seed, picture, draw)) for draw in draws]
    return temperature * torch.stack(each)


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
    chunk = max(1, _CHUNK_PIXELS // (padded.shape[2] * padded.shape[3] * network.scale**2))
    for first in range(0, draws, chunk):
        z = latents(shape, range(first, min(first + chunk, draws)), temperature, seed, picture)
        images, _ = network.inverse(z.to(seen.device), condition)
        yield from images[:, :, :height, :width]


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Return ``(B, C, H, W)`` enlarged at the lower right by reflection to multiples of ``multiple``."""
    down, right = -image.shape[2] % multiple, -image.shape[3] % multiple
    if not (down or right):
        return image
    # reflection needs more pixels than it adds; a picture of one row repeats it
    mode = "reflect" if down < image.shape[2] and right < image.shape[3] else "replicate"
    return F.pad(image, (0, right, 0, down), mode=mode)
