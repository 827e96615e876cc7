"""One ``repro`` at a time in a project, and none beside the stages of one that was killed.

The lock is the kernel's (flock) on a file that the driver holds open and its stages inherit: it is free when the last
of them has ended, however it ended, so nobody ever has to delete anything. The file names the driver.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.console import say
from pipeline.errors import SteadyflowError
from pipeline.layout import runs_folder

_FILE = "repro.lock"
_PATIENCE = 120.0  # seconds that stages whose driver was killed may take to save and stop
_POLL = 0.1  # seconds


@contextlib.contextmanager
def alone(root: Path) -> Iterator[int]:
    """Hold the project's lock in this block; yield its file descriptor, which stages are to inherit.

    Raises SteadyflowError if another driver lives, or if stages of a dead one do not end.
    """
    path = runs_folder(root) / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(file)
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()} {psutil.Process().create_time()}\n".encode(), 0)
        yield file
    finally:
        os.close(file)


def _take(file: int) -> None:
    """Wait for the stages of a driver that was killed; SteadyflowError for one that lives."""
    deadline = None
    while not _taken(file):
        holder = os.pread(file, 100, 0).decode("ascii", "replace").split()
        who = f"process {holder[0]}" if holder else "another process"
        if _lives(holder):
            raise SteadyflowError(f"another repro is at work in this folder ({who}); wait until it has ended")
        if deadline is None:
            deadline = time.monotonic() + _PATIENCE
            say(f"the last repro ({who}) was killed; waiting for its stages to save and stop")
        if time.monotonic() > deadline:
            raise SteadyflowError(f"stages of a repro that was killed ({who}) are still at work; wait until they end")
        time.sleep(_POLL)


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(holder: list[str]) -> bool:
    """Return whether the process with this number that was started at this time runs; a zombie does not."""
    try:
        process = psutil.Process(int(holder[0]))
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - float(holder[1])) < 1.0
    except (IndexError, ValueError, psutil.NoSuchProcess):
        return False
