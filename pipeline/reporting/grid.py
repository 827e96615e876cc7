"""One picture per task x variant: each row a held-out picture, its input, baseline, restorations and ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.files import write_bytes
from pipeline.metrics.samples import SampledPicture, Samples
from pipeline.pictures.decode import read_picture
from pipeline.reporting.pixels import centre, enlarge, jpeg
from pipeline.reporting.wording import wording_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 8
RESTORATIONS = 3  # estimates, then draws
SIDE = 192  # pixels of a centre crop, shown 1:1
_GAP, _LINE = 4, 20


def write_grid(path: Path, folder: Path, samples: Samples) -> Path:
    """Write the grid of the samples in ``folder`` as JPEG to ``path``; DataError for a picture that cannot be read."""
    return write_bytes(path, jpeg(sample_grid(folder, samples)))


def write_rows(out: Path, folder: Path, samples: Samples) -> list[Path]:
    """Write every row of the grid as a JPEG of its own, ``out/<picture>.jpg``, in the order of the grid."""
    shown = samples.pictures[:ROWS]
    return [write_bytes(out / f"{one.id}.jpg", jpeg(sample_grid(folder, samples, [one]))) for one in shown]


def sample_grid(folder: Path, samples: Samples, shown: Sequence[SampledPicture] | None = None) -> NDArray[np.uint8]:
    """Return the grid ``(H, W, 3)`` of ``shown``, by default the first ``ROWS``; names stand above the pictures."""
    from PIL import Image, ImageDraw, ImageFont

    rows = [(picture.id, _tiles(folder, samples, picture)) for picture in shown or samples.pictures[:ROWS]]
    titles = list(rows[0][1])
    height, width = (max(tile.shape[axis] for _, tiles in rows for tile in tiles.values()) for axis in (0, 1))
    font = ImageFont.load_default(13)
    width = max(width, *(int(font.getlength(title)) + _GAP for title in titles))
    step_x, step_y = width + _GAP, height + _LINE + _GAP
    canvas = Image.new("RGB", (step_x * len(titles) + _GAP, 2 * _LINE + step_y * len(rows)), "white")
    draw = ImageDraw.Draw(canvas)
    parts = (samples.task, samples.variant, f"{samples.profile} profile", samples.run_key)  # no run: imported
    heading = ", ".join(part for part in parts if part)
    draw.text((_GAP, 3), heading, "black", font)
    for column, title in enumerate(titles):
        draw.text((_GAP + column * step_x, _LINE + 3), title, "black", font)
    for row, (name, tiles) in enumerate(rows):
        top = 2 * _LINE + row * step_y
        draw.text((_GAP, top + 3), name, "dimgray", font)
        for column, tile in enumerate(tiles.values()):
            canvas.paste(Image.fromarray(tile), (_GAP + column * step_x, top + _LINE))
    return np.asarray(canvas)


def _tiles(folder: Path, samples: Samples, picture: SampledPicture) -> dict[str, NDArray[np.uint8]]:
    words = wording_of(samples.kind)
    reference = read_picture(folder, picture.reference)
    estimates = {caption: getattr(picture, name) for name, caption in words.estimates.items()}
    draws = {f"draw {i}": draw.file for i, draw in enumerate(picture.draws[: RESTORATIONS - len(estimates)], 1)}
    named = {words.input: picture.input, words.baseline: picture.baseline, **estimates, **draws}
    whole = {title: enlarge(read_picture(folder, file), reference.shape) for title, file in named.items()}
    return {title: centre(pixels, SIDE) for title, pixels in {**whole, "ground truth": reference}.items()}
