"""What a restoration is put on, part by part: its floats, or 8 bits with a record of what the floats were like.

The floats of a picture of 200 megapixels are 2.4 GB, its 8 bits 0.6.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.pictures.eight_bit import merged_statistics, to_uint8, value_statistics


class Canvas(Protocol):
    """Takes every value of a picture once."""

    def put(self, rows: slice, columns: slice, values: Tensor) -> None:
        """Take the un-clamped ``values`` ``(3, len(rows), len(columns))``."""


class Floats:
    """Un-clamped values, in ``image`` ``(3, H, W)``."""

    def __init__(self, height: int, width: int) -> None:
        self._size = (slice(0, height), slice(0, width))
        self.image = torch.empty(3, 0, 0)

    def put(self, rows: slice, columns: slice, values: Tensor) -> None:
        """Take a part; one that is the whole picture is not copied, and stays where it is."""
        if (rows, columns) == self._size:
            self.image = values
            return
        if not self.image.numel():
            self.image = torch.empty(3, self._size[0].stop, self._size[1].stop)
        self.image[:, rows, columns] = values


class EightBit:
    """``pixels`` ``(H, W, 3)`` uint8, made of the values as ``to_uint8`` does."""

    def __init__(self, quantization: str, height: int, width: int) -> None:
        self.pixels: NDArray[np.uint8] = np.empty((height, width, 3), np.uint8)
        self._quantization = quantization
        self._parts: list[dict[str, Any]] = []

    def put(self, rows: slice, columns: slice, values: Tensor) -> None:
        """Take a part."""
        self.pixels[rows, columns] = to_uint8(values, self._quantization)
        self._parts.append(value_statistics(values))

    @property
    def statistics(self) -> dict[str, Any]:
        """Return ``value_statistics`` of all values."""
        return merged_statistics(self._parts)
