"""Histogram-equalised pictures, LLFlow's second view of a dark photograph.

Wang et al., "Low-light image enhancement with normalizing flow", AAAI 2022.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.feed.side import Side
from pipeline.pictures import Pixels


def equalize(pixels: Pixels) -> Pixels:
    """Return ``pixels``, ``(H, W, C)`` uint8, with the histogram of every channel equalised (``cv2.equalizeHist``)."""
    return np.stack([cv2.equalizeHist(np.ascontiguousarray(channel)) for channel in np.moveaxis(pixels, -1, 0)], -1)


class Equalized:
    """The equalised form of a side of pairs; crops are of the *whole* picture's equalisation.

    Equalisation replaces each level of a channel by another, so a picture's is known by 256 x 3 bytes. They are
    computed when a picture is first asked for and kept; a crop then costs a look-up of its own pixels alone.
    """

    def __init__(self, plain: Side) -> None:
        self._plain = plain
        self._tables: dict[int, Pixels] = {}

    @property
    def ids(self) -> list[str]:
        """The pictures' names, in order."""
        return self._plain.ids

    def __len__(self) -> int:
        return len(self._plain)

    def shape(self, index: int) -> tuple[int, int]:
        """Return (height, width) of a picture, in pixels."""
        return self._plain.shape(index)

    def crop(self, index: int, top: int, left: int, height: int, width: int) -> Pixels:
        """Return ``(height, width, 3)`` of the equalised picture; ValueError if it would leave the picture."""
        if index not in self._tables:
            self._tables[index] = _table(self._plain.crop(index, 0, 0, *self._plain.shape(index)))
        return cv2.LUT(self._plain.crop(index, top, left, height, width), self._tables[index])


def _table(pixels: Pixels) -> Pixels:
    """Return ``(1, 256, 3)``: what each level of each channel becomes, read off what OpenCV makes of the picture."""
    table = np.zeros((1, 256, 3), np.uint8)
    equalized = equalize(pixels)
    for channel in range(3):
        table[0, pixels[..., channel], channel] = equalized[..., channel]
    return table
