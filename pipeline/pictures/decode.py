"""Read a picture file as 8-bit RGB: convert where nothing can be lost, refuse where somebody must decide.

Only the pixel decoders of common photograph formats are admitted, so a file cannot reach the interpreters that
Pillow has for others (PostScript, for one).
"""

from __future__ import annotations

import errno
import io
import stat
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps

from pipeline.errors import DataError, printable
from pipeline.pictures.png import png_fault

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
LARGEST = 100_000_000  # pixels: more than any camera's photograph, less than what fills a machine's memory

_REFUSED_MODES = {
    "CMYK": "CMYK: its colours depend on a printing profile; convert it to RGB yourself",
    "YCbCr": "YCbCr, not RGB; convert it yourself",
    "LAB": "Lab, not RGB; convert it yourself",
    "HSV": "HSV, not RGB; convert it yourself",
}
_SAFE_MODES = {"RGB": "", "L": "grey", "1": "black and white", "P": "palette"}
_ALPHA_MODES = {"RGBA", "LA", "PA", "La", "RGBa", "RGBX"}
_ORIENTATION = ExifTags.Base.Orientation


class Unreadable(Exception):
    """A picture that is refused; the text says why, without the picture's name."""


class Decoded(NamedTuple):
    """``pixels`` are ``(H, W, 3)`` uint8; ``note`` names the conversions made, empty if there was none."""

    pixels: NDArray[np.uint8]
    note: str


def decode(content: Path | bytes | NDArray[np.uint8]) -> Decoded:
    """Return the picture in a file, or in the bytes of one, as 8-bit RGB; Unreadable says why it is refused.

    Pixels that come as an array are only checked: ``(H, W, 3)`` uint8.

    Converted: grey, black and white, palette, alpha that is opaque everywhere, rotation by an EXIF tag (pixels
    are turned, none is interpolated). Refused: more than 8 bits, CMYK and other colour spaces, transparency,
    several frames, truncated or unknown files, more than ``LARGEST`` pixels.
    """
    if isinstance(content, np.ndarray):
        if content.dtype != np.uint8 or content.ndim != 3 or content.shape[2] != 3 or not content.size:
            raise Unreadable(f"an array of shape {content.shape}, {content.dtype}, where (H, W, 3) uint8 is expected")
        return Decoded(content, "")
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        if isinstance(content, Path) and not stat.S_ISREG(content.stat().st_mode):
            raise Unreadable("not a regular file")  # reading from a pipe would wait for ever
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF blocks and the like; errors still end the reading
            with Image.open(stream, formats=FORMATS) as image:
                decoded, is_png = _convert(image), image.format == "PNG"
        if is_png:
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                if fault := png_fault(file):
                    raise Unreadable(f"truncated or damaged ({fault})")
        return decoded
    except FileNotFoundError:
        raise Unreadable("does not exist") from None
    except Image.DecompressionBombError:
        raise Unreadable(_too_large(None)) from None
    except Image.UnidentifiedImageError:
        raise Unreadable(f"not a picture of a known format ({', '.join(FORMATS)})") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise on damage
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            raise Unreadable("a link that leads in a circle") from None
        raise Unreadable(f"cannot be decoded, truncated or damaged ({printable(str(error))})") from None


def read_picture(folder: Path, file: str, like: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return ``folder/file``, which a stage has written, as ``(H, W, 3)`` uint8.

    Raises DataError if it leads out of ``folder``, cannot be read, or has not the shape of ``like``.
    """
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder}: the picture '{file}' lies outside of this folder; run the stage again")
    try:
        pixels = decode(path).pixels
    except Unreadable as error:
        raise DataError(f"{path}: {error}; run the stage again") from None
    if like is not None and pixels.shape != like.shape:
        raise DataError(f"{path} has shape {pixels.shape}, its reference {like.shape}; run the stage again")
    return np.ascontiguousarray(pixels)


def _convert(image: ImageFile.ImageFile) -> Decoded:
    if image.width * image.height > LARGEST:
        raise Unreadable(_too_large(image.size))
    if image.mode in _REFUSED_MODES:
        raise Unreadable(_REFUSED_MODES[image.mode])
    if _bits(image) > 8:
        raise Unreadable(f"{_bits(image)} bits per channel; convert it to 8 bits yourself (you choose the rounding)")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a JPEG with previews behind the photograph
        raise Unreadable(f"{frames} frames; give one picture per file")
    notes = [_SAFE_MODES[image.mode]] if image.mode in _SAFE_MODES else []
    orientation = image.getexif().get(_ORIENTATION, 1)
    image.load()
    upright: Image.Image = image
    if orientation != 1:
        upright = ImageOps.exif_transpose(image)
        notes.append("turned by its EXIF tag")
    if upright.mode in _ALPHA_MODES or upright.has_transparency_data:
        upright = upright.convert("RGBA")
        if upright.getchannel("A").getextrema() != (255, 255):
            raise Unreadable("transparent pixels have no colour of their own; put the picture on a background yourself")
        notes.append("opaque alpha dropped")
    elif upright.mode not in _SAFE_MODES:
        raise Unreadable(f"pixel mode {upright.mode}; convert it to 8-bit RGB yourself")
    pixels = np.asarray(upright.convert("RGB"))
    return Decoded(pixels, ", ".join(note for note in notes if note))


def _bits(image: ImageFile.ImageFile) -> int:
    """Return the bits per channel in the file; Pillow reads 16-bit RGB as 8-bit without a word."""
    if image.mode in ("I", "F"):
        return 32
    layouts = [tile.args if isinstance(tile.args, str) else (tile.args or [""])[0] for tile in image.tile]
    return 16 if any(";16" in str(layout) for layout in (image.mode, *layouts)) else 8


def _too_large(size: tuple[int, int] | None) -> str:
    which = f"{size[0]} x {size[1]}: " if size else ""
    return f"{which}more than {LARGEST // 10**6} million pixels; cut it into parts"
