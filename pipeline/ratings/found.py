"""What an import wrote, for those who show it. Loads nothing heavy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipeline.files import read_json

RATINGS_FILE = Path("ratings") / "ratings.json"
DRAWN_ANEW = "the rated pictures were drawn anew since"


def read_ratings(folder: Path) -> dict[str, Any] | None:
    """Return ratings.json of a variant's folder, None if nobody has rated it; ValueError for a damaged file.

    Where samples are no longer those that were rated, ``human_errors`` is None and ``reason`` says so.
    """
    try:
        content: dict[str, Any] = read_json(folder / RATINGS_FILE)
    except FileNotFoundError:
        return None
    there = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "samples").glob("*/*.png")}
    if any(one["sha256"] not in there for one in content["restorations"]):
        return {**content, "human_errors": None, "reason": DRAWN_ANEW}
    return content
