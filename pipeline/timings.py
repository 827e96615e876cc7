"""How long each stage of a run took: one line per finished stage in ``.runs/timings.jsonl``."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import psutil

from pipeline.layout import runs_folder

_FILE = "timings.jsonl"


def file_of(root: Path) -> Path:
    """Return the record of the project in ``root``."""
    return runs_folder(root) / _FILE


def record() -> None:
    """Append this process's stage and its age in seconds (imports included); outside of DVC do nothing."""
    stage = os.environ.get("DVC_STAGE")
    if not stage:
        return
    line = json.dumps({"stage": stage, "seconds": time.time() - psutil.Process().create_time()})
    with contextlib.suppress(OSError):  # a full disk: the stage itself says so
        file_of(Path()).parent.mkdir(exist_ok=True)
        with file_of(Path()).open("a+b") as file:
            whole = not file.tell() or (file.seek(-1, os.SEEK_END) and file.read(1) == b"\n")
            file.write(("" if whole else "\n").encode() + line.encode() + b"\n")


def position(root: Path) -> int:
    """Return the length of the record in bytes: what ``since`` takes to read later lines only."""
    path = file_of(root)
    return path.stat().st_size if path.exists() else 0


def since(root: Path, start: int) -> list[tuple[str, float]]:
    """Return stage and seconds of every stage that ended after ``position`` returned ``start``.

    Lines that are none of ours, such as half a line after a crash, are left out.
    """
    path = file_of(root)
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes()[start:].splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):  # half a line, as a full disk leaves
            entry = json.loads(line)
            found.append((str(entry["stage"]), float(entry["seconds"])))
    return found


def latest(root: Path) -> dict[str, float]:
    """Return for each stage that was ever timed the seconds of the last time."""
    return dict(since(root, 0))
