"""Freed memory goes back to the operating system, which the C library does not do of itself.

glibc keeps what lies between pieces that are still in use. Where large tensors of changing sizes come and go, as from
tile to tile, that grows.
"""

from __future__ import annotations

import contextlib
import ctypes


def give_back_freed_memory() -> None:
    """Return to the operating system what is freed, without GNU's C library nothing; some milliseconds."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # TypeError: no library of that kind (Windows)
        ctypes.CDLL(None).malloc_trim(0)
