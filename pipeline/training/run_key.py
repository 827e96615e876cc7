"""The key of a run: a hash of everything that its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.dependencies import code_files

_LENGTH = 12


def run_key(stage: str, settings: dict[str, Any], inputs: Iterable[Path]) -> str:
    """Return 12 hex digits for ``settings`` (JSON values), the content of ``inputs`` and the code of ``stage``."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    for name, file in code_files(stage):
        digest.update(f"{name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:_LENGTH]
