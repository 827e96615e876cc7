"""A PNG that leaves out pixels, or whose pixels changed, is refused; whole ones of every layout are not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.pictures.decode import Unreadable, decode
from pipeline.pictures.png import png_fault

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows, interlaced=0, pieces=1):
    """Return a PNG of 24 x 31 RGB by hand of which only ``rows`` are there."""
    raw = b"".join(b"\0" + PIXELS[row].tobytes() for row in range(rows))
    packed = zlib.compress(raw)
    cut = -(-len(packed) // pieces)
    idat = b"".join(chunk(b"IDAT", packed[start : start + cut]) for start in range(0, len(packed), cut))
    head = struct.pack(">IIBBBBB", 31, 24, 8, 2, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + idat + chunk(b"IEND", b"")


@pytest.mark.parametrize("pieces", [1, 5])
def test_one_that_ends_after_10_of_24_rows_is_refused(pieces):
    content = png(10, pieces=pieces)
    filled = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(filled[:10], PIXELS[:10])
    assert not filled[10:].any()  # Pillow says nothing
    with pytest.raises(Unreadable, match=f"it ends after {10 * 94} of {24 * 94:,} bytes"):
        decode(content)
    assert np.array_equal(decode(png(24, pieces=pieces)).pixels, PIXELS)


def test_it_is_told_of_a_file_too(tmp_path):
    (tmp_path / "x.png").write_bytes(png(23))
    with pytest.raises(Unreadable, match="it ends after"):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 33)])
def test_what_pillow_writes_is_whole(mode, size):
    file = io.BytesIO()
    Image.fromarray(PIXELS).resize(size).convert(mode).save(file, format="PNG")
    file.seek(0)
    assert png_fault(file) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 9), (31, 24)])
def test_the_bytes_of_an_interlaced_picture(size):
    width, height = size
    # Adam7 written out by where each pass begins and how far it steps (PNG specification, 8.2)
    raw = b""
    for left, top, across, down in [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ]:  # fmt: skip
        for row in range(top, height, down):
            line = PIXELS[row, left:width:across].tobytes()
            raw += b"\0" + line if line else b""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    for cut, whole in ((len(raw), True), (len(raw) - 1, False)):
        idat = chunk(b"IDAT", zlib.compress(raw[:cut]))
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + idat + chunk(b"IEND", b"")
        assert (png_fault(io.BytesIO(content)) is None) is whole
    whole = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert np.array_equal(decode(whole).pixels, PIXELS[:height, :width])


def test_a_flipped_bit_in_any_byte_of_the_pixels_is_told():
    content = png(24)
    start = content.index(b"IDAT") + 4
    for place in range(start, len(content) - 16, 97):
        flipped = bytearray(content)
        flipped[place] ^= 4
        with pytest.raises(Unreadable, match="damaged"):
            decode(bytes(flipped))
