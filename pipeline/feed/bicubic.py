"""MATLAB's ``imresize(..., 'bicubic')`` with antialiasing, on batches of tensors.

Shapes: ``(B, C, H, W)``. The kernel is Keys' cubic with a = -0.5 (Keys, "Cubic convolution interpolation for
digital image processing", 1981). When shrinking by a factor ``s < 1`` it is stretched to ``s * k(s * x)``, so
that it also removes the frequencies which the small picture cannot hold. Borders are mirrored at the edge of
the outer pixels (half-sample symmetric); the weights of every output sample sum to one.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

_LARGEST_DENOMINATOR = 1024  # a float factor such as 1 / 3 is read as the nearest fraction


def imresize(images: torch.Tensor, factor: float | Fraction) -> torch.Tensor:
    """Return ``images`` resized by ``factor`` along H, then along W; sizes are ``ceil(size * factor)``.

    The type decides, as in MATLAB. Floating point ``(B, C, H, W)``: nothing is clipped or rounded, gradients
    flow. uint8: the result is clipped to [0, 255] and rounded (half to even) after *each* dimension.

    All sums are made in float64: a uint8 tie then falls the same way on every device, and neither TF32 nor
    autocast can touch the result. (Apple's GPUs have no float64; there float32 is used.)

    Raises ValueError for another type or number of dimensions, and for a factor that is not positive.
    """
    ratio = Fraction(factor).limit_denominator(_LARGEST_DENOMINATOR)
    if ratio <= 0:
        raise ValueError(f"factor must be positive, got {factor}")
    if images.ndim != 4:
        raise ValueError(f"images must be (B, C, H, W), got shape {tuple(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images must be uint8 or floating point, got {images.dtype}")
    height, width = images.shape[2:]
    working = torch.float32 if images.device.type == "mps" else torch.float64
    rows = _weights_on(height, ratio, images.device, working)
    columns = _weights_on(width, ratio, images.device, working)
    shrunk = _as_stored(rows @ images.to(working), images.dtype)
    return _as_stored(shrunk @ columns.mT, images.dtype).to(images.dtype)


def _as_stored(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return ``values`` as MATLAB keeps them between two passes, still in the working type."""
    return values.round().clamp(0, 255) if dtype == torch.uint8 else values


def resize_weights(size: int, factor: float | Fraction) -> NDArray[np.float64]:
    """Return the matrix ``(ceil(size * factor), size)`` in float64 that resizes one dimension of ``size``."""
    ratio = Fraction(factor).limit_denominator(_LARGEST_DENOMINATOR)
    out = math.ceil(size * ratio)
    scale = float(ratio)
    shrink = min(scale, 1.0)
    support = 4.0 / shrink
    centres = (np.arange(1, out + 1) / scale + 0.5 * (1 - 1 / scale))[:, None]  # 1-based, as in MATLAB
    taps = np.floor(centres - support / 2) + np.arange(math.ceil(support) + 2)
    weights = shrink * _cubic(shrink * (centres - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    position = (taps.astype(np.int64) - 1) % (2 * size)
    mirrored = np.minimum(position, 2 * size - 1 - position)
    matrix = np.zeros((out, size))
    np.add.at(matrix, (np.arange(out)[:, None], mirrored), weights)
    return matrix


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel, a = -0.5: zero outside [-2, 2], one at 0."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


@functools.lru_cache(maxsize=64)
def _weights_on(size: int, ratio: Fraction, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    # A tensor made inside of inference_mode could never be part of a graph later; the cache outlives the block.
    with torch.inference_mode(False):
        return torch.from_numpy(resize_weights(size, ratio)).to(device, dtype)
