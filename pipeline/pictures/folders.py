"""Looking through folders that somebody else filled: names in any case, links in circles, names that lie."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_SHOWN = 5  # names in one message
_LONGEST = 120  # characters of an id: it becomes part of file names
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def shown(name: object) -> str:
    """Return ``name`` as one line that a terminal prints as it is: control characters are escaped."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def abridged(names: Sequence[str], total: int | None = None) -> str:
    """Return the first few of ``names`` and how many there are beside them, of ``total`` if not all are given."""
    left = (len(names) if total is None else total) - _SHOWN
    more = f" and {left} more" if left > 0 else ""
    return ", ".join(shown(name) for name in names[:_SHOWN]) + more


def safe_id(name: str) -> str:
    """Return an id for a file called ``name``; where characters had to go, a short hash keeps it unique."""
    kept = (_UNSAFE.sub("_", name).lstrip(".-") or "_")[:_LONGEST]
    if kept == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{kept}-{digest[:8]}"


def find_folder(root: Path, candidates: Iterable[str]) -> Path | None:
    """Return the first folder of ``candidates`` (such as ``eval15/low``) below ``root``; letter case is ignored."""
    for candidate in candidates:
        place: Path | None = root
        for part in candidate.split("/") if candidate else ():
            place = _child(place, part) if place else None
        if place is not None:
            return place
    return None


def _child(folder: Path, name: str) -> Path | None:
    if (folder / name).is_dir():
        return folder / name
    same = (entry for entry in sorted(folder.iterdir()) if entry.name.casefold() == name.casefold())
    return next((entry for entry in same if entry.is_dir()), None)


def picture_files(folder: Path, extensions: Sequence[str] = EXTENSIONS) -> list[Path]:
    """Return the pictures directly in ``folder``, by name; hidden files are no pictures."""
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted(entry for entry in entries if entry.suffix.lower() in extensions)


def walk_pictures(folder: Path) -> tuple[list[Path], list[str]]:
    """Return (all pictures in and below ``folder`` by name, faults); a link to a folder is followed once.

    A link that leads back to a folder above it is a fault, not an endless walk.
    """
    found: list[Path] = []
    faults: list[str] = []

    def descend(place: Path, above: tuple[Path, ...]) -> None:
        real = Path(os.path.realpath(place))
        if real in above:
            faults.append(f"{shown(place.relative_to(folder))}: a link that leads in a circle; remove it")
            return
        found.extend(picture_files(place))
        for entry in sorted(place.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                descend(entry, (*above, real))

    descend(folder, ())
    return found, faults
