"""Freed memory that the C library keeps goes back to the operating system.

glibc keeps what lies between pieces that are still in use. Where large tensors of changing sizes come and go, as from
tile to tile, that grows.
"""

from __future__ import annotations

import contextlib
import ctypes


def give_back_freed_memory() -> None:
    """Give freed memory back; does nothing without the GNU C library. Takes some milliseconds."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # TypeError: no library of that kind (Windows)
        ctypes.CDLL(None).malloc_trim(0)
