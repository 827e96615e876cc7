"""Atomic writing: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import SteadyflowError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds, else remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes 0600, which a colleague could not read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def writable_folder(path: Path) -> Path:
    """Return ``path``, made if it was not there. Raises SteadyflowError where files cannot be written into it.

    For commands that compute for long: what a user mistyped is told before, not after.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise SteadyflowError(f"--out {path} cannot be written to ({error.strerror}); give another folder") from None
    return path


def write_bytes(path: Path, content: bytes) -> Path:
    """Write ``content`` to ``path`` atomically and durably; return ``path``."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def write_text(path: Path, content: str) -> Path:
    """Write UTF-8 text atomically; return ``path``."""
    return write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> Path:
    """Write strict JSON (sorted keys; NaN and inf are refused with ValueError) atomically; return ``path``."""
    return write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


class NotReadable(ValueError):
    """Why a file is no text; the message does not name the file."""


def read_text(path: Path, most: int | None = None) -> str:
    """Return the content of a UTF-8 file of ``most`` bytes at the most.

    Raises FileNotFoundError, and NotReadable for what is no file (reading from a pipe would wait for ever), may not
    be read, is larger or is no UTF-8.
    """
    check_file(path, most)
    try:
        return path.read_text(encoding="utf-8")
    except PermissionError as error:
        raise NotReadable(f"{error.strerror}") from None
    except UnicodeDecodeError as error:
        raise NotReadable(f"byte {error.start} is not UTF-8") from None


def check_file(path: Path, most: int | None = None) -> int:
    """Return the bytes of a regular file; raises as ``read_text`` does, before anything is opened."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise
    except OSError as error:
        why = "a link that leads in a circle" if error.errno == errno.ELOOP else error.strerror
        raise NotReadable(f"{why}") from None
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a socket or a device"
        raise NotReadable(f"it is {what}, not a file")
    if most is not None and status.st_size > most:
        raise NotReadable(f"it has {status.st_size:,} bytes, more than {most:,}")
    return status.st_size


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, most: int | None = None) -> Any:
    """Return the content of a JSON file; raises FileNotFoundError, and ValueError for what is no strict JSON."""
    try:
        return json.loads(read_text(path, most), parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("lists within one another too deep to be read") from None


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write ``rows`` with a header line atomically (None becomes an empty field); return ``path``."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_text(path, buffer.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header line, as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
