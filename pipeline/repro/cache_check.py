"""What DVC takes from its cache in place of running a stage is compared with its hash first.

DVC itself takes any file of its cache that is read-only for what its name says. A damaged one would become a result;
here it is deleted, as DVC does with those that it looks at, and the stage runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.console import warn
from pipeline.errors import DataError

_OBJECTS = Path(".dvc", "cache", "files", "md5")


@contextlib.contextmanager
def distrust(repo: Any) -> Iterator[None]:
    """In this block the repository ``repo`` of DVC reads what it restores, once, before it does."""
    store, runs = repo.cache.local, repo.stage_cache
    check, restore, load = store.check, runs.restore, runs._load_cache

    restoring = False

    def checked(oid: str, *arguments: Any, **options: Any) -> Any:
        path = Path(store.oid_to_path(oid))
        if fault := fault_of(path) if restoring else _no_file(path):
            from dvc_objects.errors import ObjectFormatError

            _delete(path, fault)
            raise ObjectFormatError(fault)
        return check(oid, *arguments, **options)

    def loaded(key: str, value: str) -> Any:
        path = Path(runs._get_cache_path(key, value))
        if fault := _unreadable(path):
            _delete(path, fault)
            return None
        return load(key, value)

    def restored(*arguments: Any, **options: Any) -> Any:
        nonlocal restoring
        restoring = True
        try:
            return restore(*arguments, **options)
        finally:
            restoring = False

    store.check, runs.restore, runs._load_cache = checked, restored, loaded
    try:
        yield
    finally:
        store.check, runs.restore, runs._load_cache = check, restore, load


def objects(root: Path) -> list[Path]:
    """Return the files of DVC's cache at its usual place in the project at ``root``."""
    return sorted(path for path in (root / _OBJECTS).glob("??/*") if not path.name.endswith(".unpacked"))


def fault_of(path: Path) -> str:
    """Return in what way ``path`` is not the file of the cache that its name says; empty if it is, or is not there."""
    try:
        if (fault := _no_file(path)) or not path.exists():
            return fault
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        return f"{path} of DVC's cache cannot be read ({error.strerror})"
    expected = (path.parent.name + path.name).removesuffix(".dir")
    return "" if found == expected else f"{path} of DVC's cache is damaged (its MD5 is {found})"


def _unreadable(path: Path) -> str:
    """Return in what way ``path`` is no text that DVC can read; empty if it is one, or is not there."""
    if (fault := _no_file(path)) or not path.exists():
        return fault
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return f"{path} of DVC's cache is damaged"
    return ""


def _no_file(path: Path) -> str:
    """Return that something else stands where a file belongs; empty if a file or nothing does."""
    other = (path.is_symlink() or path.exists()) and not path.is_file()
    return f"{path} of DVC's cache is no file" if other else ""


def _delete(path: Path, fault: str) -> None:
    warn(f"{fault}; it is deleted, and what it was of is made anew")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def verify_object(path: Path) -> int:
    """Return the bytes of a file of the cache; DataError if it is not what its name says."""
    if fault := fault_of(path):
        raise DataError(f"{fault}; delete it: the next repro makes anew what it was of")
    return path.stat().st_size
