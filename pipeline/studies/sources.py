"""Which pictures a study of small pictures may be given. Loads nothing heavy."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import DataError

DIGITS = "digits"


def check_source(source: str) -> None:
    """Raise DataError unless ``source`` is "digits" or a folder that is there."""
    if source != DIGITS and not Path(source).expanduser().is_dir():
        raise DataError(f"--source '{source}': there is no such folder; give a folder of CIFAR-10, or '{DIGITS}'")
