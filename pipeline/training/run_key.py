"""The key of a run: a hash of everything that its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Code that a training depends on; a change there starts new runs instead of resuming old ones.
_CODE = (
    "models",
    "pipeline/training",
    "pipeline/datasets",
    "pipeline/feed",
    "pipeline/kinds",
    "pipeline/model_folder.py",
    "pipeline/seeds.py",
)
_LENGTH = 12


def run_key(root: Path, settings: dict[str, Any], inputs: Iterable[Path]) -> str:
    """Return 12 hex digits for ``settings`` (JSON values), the content of ``inputs`` and the code."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    here = Path(__file__).resolve().parents[2]
    for name in _CODE:
        place = here / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{file.relative_to(here)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:_LENGTH]
