"""From un-clamped floats to 8-bit pictures, and what the floats were like before."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.errors import ConfigError, brief, nearest
from pipeline.files import atomic_path

# Paper A, section 3.2: a value is erroneous outside of [0, 1] by more than 0.5.
BAD_BELOW, BAD_ABOVE = -0.5, 1.5

QUANTIZATIONS = {
    "floor": torch.floor,  # the published code: clip, times 255, cast to uint8
    "round": torch.round,
}


def check_quantization(name: str) -> None:
    """Raise ConfigError if ``name`` is no key of ``QUANTIZATIONS``."""
    if name not in QUANTIZATIONS:
        raise ConfigError(f"unknown quantization {brief(name)}; {nearest(name, QUANTIZATIONS)}")


def to_uint8(image: Tensor, quantization: str) -> np.ndarray:
    """Return ``(H, W, 3)`` uint8 for un-clamped ``(3, H, W)``; NaN becomes black, by decision."""
    check_quantization(quantization)
    known = torch.where(image.isnan(), 0.0, image).clamp(0.0, 1.0)
    pixels: np.ndarray = QUANTIZATIONS[quantization](known * 255.0).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels


def value_statistics(image: Tensor) -> dict[str, Any]:
    """Return what samples.json records of an un-clamped draw (see docs/architecture.md)."""
    finite = image.isfinite()
    values = image[finite]
    outside = (values < BAD_BELOW) | (values > BAD_ABOVE)
    return {
        "minimum": float(values.min()) if values.numel() else None,
        "maximum": float(values.max()) if values.numel() else None,
        "nonfinite_values": int((~finite).sum()),
        "outside_values": int(outside.sum()),
        "values": image.numel(),
    }


def merged_statistics(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``value_statistics`` of a draw from those of its parts."""
    every = list(parts)
    finite = [part for part in every if part["minimum"] is not None]
    return {
        "minimum": min((part["minimum"] for part in finite), default=None),
        "maximum": max((part["maximum"] for part in finite), default=None),
        **{count: sum(part[count] for part in every) for count in ("nonfinite_values", "outside_values", "values")},
    }


def bad_values(statistics: Mapping[str, Any]) -> int:
    """Return how many values of a picture are bad: out of range, or not finite; of what ``value_statistics`` found."""
    return int(statistics["outside_values"] + statistics["nonfinite_values"])


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return ``(H, W, 3)`` uint8 as the content of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """Write ``(H, W, 3)`` uint8 as PNG, atomically; return ``path``."""
    with atomic_path(path) as temporary:
        # not forced to disk: there are thousands, and they can be made again
        Image.fromarray(pixels).save(temporary, format="PNG")
    return path


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Return ``(1, 3, H, W)`` uint8 for ``(H, W, 3)`` uint8."""
    return torch.tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
