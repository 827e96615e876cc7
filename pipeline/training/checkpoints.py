"""Checkpoints of a training under way: atomic, the last two kept, loaded without executing anything.

A file begins with one line that holds the SHA-256 of the rest: torch's own format does not tell a flipped bit.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from pipeline.console import warn
from pipeline.errors import CheckpointError, printable
from pipeline.files import atomic_path, check_file, write_text

_HEAD, _ZIP = b"steadyflow checkpoint, sha256 ", b"PK"
_START = len(_HEAD) + 64 + 1  # of what torch wrote
_LONGEST = 200  # characters of a fault
_LATEST, _PREVIOUS, _DONE = "checkpoint.pt", "checkpoint-previous.pt", "DONE"


def verify_checkpoint(path: Path) -> int:
    """Return the bytes of a checkpoint that is what was written; CheckpointError if it is not."""
    try:
        _content(path)
        return path.stat().st_size
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); the training goes on from the one before it") from None


class _Damaged(ValueError):
    """The bytes of a checkpoint are not those that were written."""


def _content(path: Path) -> bytes:
    """Return what torch.save wrote; _Damaged if it is not what the first line says."""
    check_file(path)
    content = path.read_bytes()
    if content.startswith(_ZIP):  # written before there was a first line
        return content
    head, newline, rest = content[: len(_HEAD)], content[len(_HEAD) + 64 : _START], content[_START:]
    if head != _HEAD or newline != b"\n":
        raise _Damaged("it does not begin as a checkpoint does")
    if hashlib.sha256(rest).hexdigest().encode("ascii") != content[len(_HEAD) : len(_HEAD) + 64]:
        raise _Damaged("SHA-256 differs")
    return rest


class CheckpointStore:
    """The checkpoints of one run directory. Tensors and plain containers only (``weights_only``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` durably; the one before it stays as a fallback."""
        latest = self.folder / _LATEST
        content = io.BytesIO()  # torch.save into a file hides a full disk behind an error of its own
        torch.save(state, content)
        digest = hashlib.sha256(content.getbuffer()).hexdigest()
        with atomic_path(latest) as temporary:
            with temporary.open("wb") as file:
                file.write(_HEAD + digest.encode("ascii") + b"\n")
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if latest.exists():
                latest.replace(self.folder / _PREVIOUS)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return the newest state that can be read, or None if there is none: a training then begins at its start.

        That is so as well where the only one, which was the first, is damaged. Raises CheckpointError if files are
        there and none of them can be read for another reason, or if both are damaged.
        """
        found = [path for path in (self.folder / _LATEST, self.folder / _PREVIOUS) if path.exists()]
        for path in found:
            try:
                state: Any = torch.load(io.BytesIO(_content(path)), map_location=device, weights_only=True)
                if not isinstance(state, dict):
                    raise ValueError(f"it holds a {type(state).__name__} and no state")
                return state
            except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, OSError) as error:
                first = isinstance(error, _Damaged) and found == [self.folder / _LATEST]
                after = "trying the checkpoint before it" if path != found[-1] else "there is none before it"
                after += "; beginning at the start" if first else ""
                warn(f"{path} is damaged ({printable(str(error).partition(chr(10))[0])[:_LONGEST]}); {after}")
                if first:
                    return None
        if found:
            raise CheckpointError(f"no checkpoint in {self.folder} can be read; remove that folder to train anew")
        return None

    @property
    def done(self) -> bool:
        """Whether the results of this run are with whoever asked for them."""
        return (self.folder / _DONE).exists()

    def finish(self) -> None:
        """Mark the run as done and drop its checkpoints."""
        write_text(self.folder / _DONE, "the results of this run were written\n")
        for name in (_LATEST, _PREVIOUS):
            (self.folder / name).unlink(missing_ok=True)

    def restart(self) -> None:
        """Forget that the run was done, so that it is trained anew."""
        (self.folder / _DONE).unlink(missing_ok=True)
