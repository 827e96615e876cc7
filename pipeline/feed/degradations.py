"""How a clean picture becomes the input of a restoration network."""

from __future__ import annotations

import torch

from pipeline.feed.bicubic import imresize


def low_resolution(pictures: torch.Tensor, scale: int) -> torch.Tensor:
    """Return the low-resolution input ``(B, 3, H / scale, W / scale)``, float32 in [0, 1], on an 8-bit grid.

    This is what a user's file would hold: MATLAB's bicubic in its uint8 mode, divided by 255. ``pictures`` is
    ``(B, 3, H, W)``, uint8, or floating point in [0, 1] (then rounded to 8 bits first, as if it had been saved).

    Raises ValueError if H or W is no multiple of ``scale``.
    """
    height, width = pictures.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"a picture of {height} x {width} cannot be shrunk evenly by {scale}; crop it first")
    if pictures.is_floating_point():
        pictures = (pictures * 255).round().clamp(0, 255).to(torch.uint8)
    return imresize(pictures, 1 / scale).to(torch.float32) / 255
