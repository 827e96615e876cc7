"""Compare what lies on disk with the hashes written beside it: prepared pictures, models, checkpoints, DVC's cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import get_args

from pipeline.console import progress
from pipeline.errors import SteadyflowError
from pipeline.feed.manifest import FILE, Role, Split, read_manifest
from pipeline.feed.shards import Pictures
from pipeline.layout import runs_folder
from pipeline.model_folder import CONFIG, WEIGHTS, verify_model
from pipeline.repro.cache_check import objects, verify_object
from pipeline.training.checkpoints import verify_checkpoint


@dataclasses.dataclass
class Verified:
    """What was compared: numbers of files and bytes, and a line per fault."""

    files: int = 0
    bytes: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)


def verify(root: Path) -> Verified:
    """Return what of the project at ``root`` is not what was written; nothing is changed.

    Looked at: ``data/prepared`` (every picture of every shard), model folders under ``artifacts``, checkpoints under
    ``.runs``, and DVC's cache.
    """
    found = Verified()
    checks = [(place, check) for check, places in _CHECKS for place in sorted(places(root))]
    for place, check in progress(checks, "verify"):
        try:
            files, size = check(place)
        except (SteadyflowError, OSError) as error:
            found.faults.append(str(error))
        else:
            found.files += files
            found.bytes += size
    return found


def _verify_prepared(path: Path) -> tuple[int, int]:
    manifest = read_manifest(path)
    for split in get_args(Split):
        for role in get_args(Role):
            if listed := manifest.of(split, role):
                pictures = Pictures(path, split, role)
                for index in range(len(listed)):
                    pictures.verify(index)
    shards = {picture.shard for picture in manifest.pictures}
    return 1 + len(shards), path.stat().st_size + sum(picture.bytes for picture in manifest.pictures)


def _prepared(root: Path) -> Iterator[Path]:
    return (root / "data" / "prepared").glob(f"*/{FILE}")


def _models(root: Path) -> set[Path]:
    artifacts = root / "artifacts"
    return {path.parent for name in (WEIGHTS, CONFIG) for path in artifacts.rglob(name)}


def _checkpoints(root: Path) -> Iterator[Path]:
    return runs_folder(root).rglob("checkpoint*.pt")


_Check = Callable[[Path], tuple[int, int]]
_CHECKS: tuple[tuple[_Check, Callable[[Path], Iterable[Path]]], ...] = (
    (_verify_prepared, _prepared),
    (lambda folder: (2, verify_model(folder)), _models),
    (lambda path: (1, verify_checkpoint(path)), _checkpoints),
    (lambda path: (1, verify_object(path)), objects),
)
