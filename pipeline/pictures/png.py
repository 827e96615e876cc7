"""Whether a PNG is whole: Pillow fills up with black what a file leaves out, and says nothing.

It ends reading when all rows are there or the compressed stream ends, whichever is first, and compares no checksum of
the pixels. Both are done here: every chunk's CRC, the stream's Adler-32, and as many bytes as the size asks for.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type (PNG specification, 11.2.2)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 2**20  # bytes inflated at once


def png_fault(file: BinaryIO) -> str | None:
    """Return what is wrong with a PNG that Pillow has decoded, or None: it holds all of its pixels, unchanged.

    ``file`` stands at its beginning. The pixels are inflated once more, piece by piece, which takes less time than
    decoding them.
    """
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return "no signature of a PNG"
    inflate, found, needed = zlib.decompressobj(), 0, 0
    while head := file.read(8):
        if len(head) < 8:
            return "it ends within a chunk"
        length, kind = struct.unpack(">I4s", head)
        data, check = file.read(length), file.read(4)
        if len(data) < length or len(check) < 4:
            return "it ends within a chunk"
        if kind in (b"IHDR", b"IDAT") and zlib.crc32(kind + data) != int.from_bytes(check):
            return "a checksum differs"
        if kind == b"IHDR":
            needed = _bytes_of(*struct.unpack(">IIBBBBB", data))
        elif kind == b"IDAT":
            try:
                while data and found <= needed:
                    found += len(inflate.decompress(data, _PIECE))
                    data = inflate.unconsumed_tail
            except zlib.error:
                return "its pixels cannot be inflated"
        elif kind == b"IEND":
            break
    if found < needed:
        return f"it ends after {found:,} of {needed:,} bytes of pixels"
    return None if inflate.eof or found > needed else "its pixels have no end"


def _bytes_of(width: int, height: int, depth: int, color: int, _method: int, _filter: int, interlaced: int) -> int:
    """Return the bytes of all rows: a filter's number and the pixels, in seven passes if interlaced."""
    bits = depth * _CHANNELS[color]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total
