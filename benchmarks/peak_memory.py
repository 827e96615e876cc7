"""The peak of a process's resident memory, by the kernel's own count (Linux)."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.inference.freed_memory import give_back_freed_memory


def reset_peak() -> int:
    """Let the kernel forget the peak; return the bytes that are resident now, what the allocator hoards given back."""
    give_back_freed_memory()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def resident(field: str) -> int:
    """Return a field of /proc/self/status, such as VmHWM, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", status)[0])
