"""Pictures that analyses leave: values as colours, what is not finite in one of its own, tiles with their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from pipeline.pictures.eight_bit import to_uint8

Pixels = NDArray[np.uint8]  # (H, W, 3)
NOT_FINITE = (0, 229, 255)  # cyan: no colour of the map below, and rare in photographs
NOT_FINITE_NAME = "cyan"
_COLOUR_MAP = "magma"  # black to pale yellow, of even steps for any kind of colour vision
_GAP, _LINE, _FONT = 4, 13, 11  # pixels
_LEGEND_WIDTH = 240


class Tile(NamedTuple):
    """A picture and the lines above it."""

    lines: Sequence[str]
    pixels: Pixels


def marked(image: Tensor) -> Pixels:
    """Return ``(3, H, W)``, un-clamped, as a picture; where any channel is not finite, it is NOT_FINITE."""
    pixels = to_uint8(image, "round")
    pixels[(~image.isfinite()).any(0).cpu().numpy()] = NOT_FINITE
    return pixels


def heat(values: Tensor, low: float, high: float, side: int) -> Pixels:
    """Return ``values`` ``(H, W)`` as colours from ``low`` to ``high``, ``side`` pixels wide at most.

    Small maps are enlarged by a whole number. In large ones a pixel shows the largest value of its part, or that one
    of it is not finite, so that nothing small is lost. -inf, the log of 0, is the lowest value.
    """
    from matplotlib import colormaps

    broken = values.isnan() | values.isposinf()
    known = values.masked_fill(broken, low).clamp(low, high)[None].float()
    if values.shape[1] > side:
        size = (max(1, values.shape[0] * side // values.shape[1]), side)
        known = F.adaptive_max_pool2d(known, size)
        broken = F.adaptive_max_pool2d(broken[None].float(), size)[0] > 0
    share = ((known[0] - low) / (high - low)).cpu().numpy()
    pixels: Pixels = colormaps[_COLOUR_MAP](share, bytes=True)[..., :3].copy()
    pixels[broken.cpu().numpy()] = NOT_FINITE
    return enlarged(pixels, side)


def enlarged(pixels: Pixels, side: int) -> Pixels:
    """Return ``pixels`` repeated a whole number of times, as often as they stay ``side`` wide at most."""
    times = max(1, side // pixels.shape[1])
    return pixels.repeat(times, 0).repeat(times, 1)


def tiled(groups: Sequence[Sequence[Tile]], columns: int, below: Pixels | None = None) -> Pixels:
    """Return tiles in rows of ``columns``, each under its lines; a group begins a row. ``below`` stands under all."""
    font = ImageFont.load_default(_FONT)
    every = [tile for group in groups for tile in group]
    lines = max(len(tile.lines) for tile in every)
    height, width = (max(tile.pixels.shape[axis] for tile in every) for axis in (0, 1))
    width = max(width, *(int(font.getlength(line)) + _GAP for tile in every for line in tile.lines))
    step_x, step_y = width + _GAP, height + lines * _LINE + 2 * _GAP
    places: list[tuple[int, int]] = []
    rows = 0
    for group in groups:
        places += [(rows + number // columns, number % columns) for number in range(len(group))]
        rows += -(-len(group) // columns)
    size = [columns * step_x + _GAP, rows * step_y + _GAP]
    if below is not None:
        size = [max(size[0], below.shape[1] + 2 * _GAP), size[1] + below.shape[0] + _GAP]
    canvas = Image.new("RGB", (size[0], size[1]), "white")
    draw = ImageDraw.Draw(canvas)
    for (row, column), tile in zip(places, every, strict=True):
        left, top = _GAP + column * step_x, _GAP + row * step_y
        for line, text in enumerate(tile.lines):
            draw.text((left, top + line * _LINE), text, "black", font)
        canvas.paste(Image.fromarray(tile.pixels), (left, top + lines * _LINE))
    if below is not None:
        canvas.paste(Image.fromarray(below), (_GAP, rows * step_y + _GAP))
    return np.asarray(canvas)


def legend(low: float, high: float, title: str) -> Pixels:
    """Return the colours from ``low`` to ``high`` with their ends, what they are of, and that of NOT_FINITE."""
    from matplotlib import colormaps

    font = ImageFont.load_default(_FONT)
    ramp = colormaps[_COLOUR_MAP](np.linspace(0.0, 1.0, _LEGEND_WIDTH), bytes=True)[None, :, :3].repeat(_LINE, 0)
    ends, unknown = [f"{low:g}", f"{high:g}"], "not finite"
    lengths = [int(font.getlength(text)) + 2 * _GAP for text in (*ends, title, unknown)]
    canvas = Image.new("RGB", (_LEGEND_WIDTH + sum(lengths) + 2 * _LINE + _GAP, _LINE + 2), "white")
    draw = ImageDraw.Draw(canvas)
    left = 0
    for part in (ends[0], ramp, ends[1], title, np.full((_LINE, _LINE, 3), NOT_FINITE, np.uint8), unknown):
        if isinstance(part, str):
            draw.text((left, 0), part, "black", font)
            left += int(font.getlength(part)) + 2 * _GAP
        else:
            canvas.paste(Image.fromarray(np.ascontiguousarray(part)), (left, 0))
            left += part.shape[1] + _GAP
    return np.asarray(canvas)
