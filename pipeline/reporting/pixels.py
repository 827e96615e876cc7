"""Pictures ``(H, W, 3)`` uint8 on their way into a page or a grid."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_JPEG_QUALITY = 85


def enlarge(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return ``pixels`` at ``shape`` by repetition, as a network sees them."""
    rows = np.arange(shape[0]) * pixels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * pixels.shape[1] // shape[1]
    return pixels[rows][:, columns]


def centre(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the middle of a picture, ``side`` pixels wide and high at most."""
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return a JPEG with full colour resolution: an exploded draw is known by its colours."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes of ``image/<kind>`` as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
