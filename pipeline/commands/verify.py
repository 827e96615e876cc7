"""``verify``: whether prepared pictures, models and checkpoints are still what was written."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import Add
from pipeline.console import complain, say


def register(add: Add) -> None:
    """Add ``verify``."""
    add("verify", _verify, "compare prepared pictures, models and checkpoints with the hashes written beside them")


def _verify(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.verification import verify

    found = verify(Path.cwd())
    for fault in found.faults:
        complain(f"fault: {fault}")
    count = len(found.faults)
    more = f"; {count} fault{'s' if count > 1 else ''}, see above" if count else ""
    say(f"{found.files} files, {found.bytes:,} bytes are what was written{more}")
    return 1 if found.faults else 0
