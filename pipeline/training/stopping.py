"""Ctrl-C and SIGTERM ask a training to save and stop; one more, some seconds later, stops it at once.

A worker of a group is asked by a file, which the group's driver writes: it may be on another machine, and its process
gets no signal.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME_REQUEST = 3.0  # seconds: a signal to a process group also comes a second time, passed on by its parent
_files: list[Path] = []  # that ask the training of this process to stop, where it runs off the main thread


@contextlib.contextmanager
def told_by_file(file: Path) -> Iterator[None]:
    """In this block, have trainings off the main thread stop as soon as ``file`` exists."""
    _files.append(file)
    try:
        yield
    finally:
        _files.remove(file)


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether this process was told to stop; off the main thread, whether a file says so."""
    asked = threading.Event()
    first = 0.0  # when it was told
    if threading.current_thread() is not threading.main_thread():
        files = tuple(_files)
        yield lambda: any(file.exists() for file in files)
        return

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if not asked.is_set():
            first = time.monotonic()
            asked.set()
        elif time.monotonic() - first > _SAME_REQUEST:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
