"""Checkpoints of a training under way: atomic, the last two kept, loaded without executing anything."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from pipeline.console import warn
from pipeline.errors import CheckpointError
from pipeline.files import atomic_path, write_text

_LATEST, _PREVIOUS, _DONE = "checkpoint.pt", "checkpoint-previous.pt", "DONE"


class CheckpointStore:
    """The checkpoints of one run directory. Tensors and plain containers only (``weights_only``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` durably; the one before it stays as a fallback."""
        latest = self.folder / _LATEST
        content = io.BytesIO()  # torch.save into a file hides a full disk behind an error of its own
        torch.save(state, content)
        with atomic_path(latest) as temporary:
            with temporary.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if latest.exists():
                latest.replace(self.folder / _PREVIOUS)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return the newest state that can be read, or None if there is none.

        Raises CheckpointError if files are there and none of them can be read.
        """
        found = [path for path in (self.folder / _LATEST, self.folder / _PREVIOUS) if path.exists()]
        for path in found:
            try:
                state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
                return state
            except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, OSError):
                warn(f"{path} is damaged; trying the checkpoint before it")
        if found:
            raise CheckpointError(f"no checkpoint in {self.folder} can be read; remove that folder to train anew")
        return None

    @property
    def done(self) -> bool:
        """Whether the results of this run were handed over."""
        return (self.folder / _DONE).exists()

    def finish(self) -> None:
        """Mark the run as handed over and drop its checkpoints."""
        write_text(self.folder / _DONE, "the results of this run were written\n")
        for name in (_LATEST, _PREVIOUS):
            (self.folder / name).unlink(missing_ok=True)

    def restart(self) -> None:
        """Forget a run that was handed over, so that it is trained anew."""
        (self.folder / _DONE).unlink(missing_ok=True)
