"""Uniform noise that turns pictures of a few discrete levels into samples of a density."""

from __future__ import annotations

import torch
from torch import Tensor

_MANTISSA = 24  # bits that float32 keeps exactly


def dequantize(pixels: Tensor, bits: int, generator: torch.Generator | None = None) -> Tensor:
    """Return ``(q + u) / 2^bits`` in (0, 1), float32, of the shape and on the device of ``pixels`` (uint8).

    ``q`` are the upper ``bits`` bits of each value (5 for CelebA 64 x 64 in paper B and in Glow, 8 for all), and
    ``u ~ U(0, 1)`` is independent for every value, drawn from ``generator`` on the generator's device. For a
    density p of the result in D dimensions, ``log p - D * bits * ln 2`` is in the mean a lower bound of the
    log-probability of the discrete picture (Theis et al., "A note on the evaluation of generative models", 2016).

    ``floor(result * 2^bits)`` is always ``q``: ``u`` lies on a grid so coarse that the sum is exact in float32. A
    plain ``q + torch.rand()`` is rounded up to the next level now and then, and to 1.0 for white pixels.

    Raises ValueError if ``pixels`` is not uint8 or ``bits`` not 1 to 8.
    """
    if pixels.dtype != torch.uint8:
        raise ValueError(f"pixels must be uint8, got {pixels.dtype}")
    if not 1 <= bits <= 8:
        raise ValueError(f"bits must be 1 to 8, got {bits}")
    cells = 2 ** (_MANTISSA - bits - 1)
    drawn_on = generator.device if generator is not None else pixels.device
    cell = torch.randint(cells, pixels.shape, generator=generator, device=drawn_on).to(pixels.device)
    noise = (cell.float() + 0.5) / cells  # the middle of a cell: the mean is 1/2, and neither 0 nor 1 occurs
    return ((pixels >> (8 - bits)).float() + noise) / 2**bits
