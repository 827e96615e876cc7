"""The journal of a run: everything to be tracked is on disk first, and is sent to a tracking server from there.

An event is one JSON line. Per destination the journal remembers how far it was acknowledged, so that a server
which was down, or another one that is set later, receives what it lacks. Delivery is at least once: an event
whose acknowledgement was lost is sent again, and every kind of event may be repeated without harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.errors import TrackingError
from pipeline.files import read_json, write_json

EVENTS_FILE = "tracking.jsonl"
SENT_FILE = "tracking_sent.json"
_LOCK_SECONDS = 30.0
_FIELDS = {
    "metrics": {"step", "values"},
    "params": {"values"},
    "tags": {"values"},
    "status": {"value"},
    "table": {"name", "columns", "data"},
    "image": {"name", "path", "fingerprint", "step"},
    "artifact": {"name", "path", "fingerprint", "step"},
    "data": {"name", "source", "digest", "profile", "context"},
}
_MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError)  # what an entry of another type raises
# thread -> the lock that it waits for, and time.monotonic() since when
_awaited: dict[threading.Thread, tuple[Path, float]] = {}


class Journal:
    """Append-only events of one run in ``folder``, and what each destination has acknowledged.

    Several processes may append at a time (one ``write`` per line); ``sending`` keeps their deliveries apart.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / EVENTS_FILE
        self._last: dict[str, tuple[int | None, float]] = {}  # metric -> its last step and value
        self.acknowledged_at = 0.0  # time.monotonic() when a destination last took something
        # kind, name, step if its owner gave one -> last content, how many so far
        self._files: dict[tuple[str, str, int | None], tuple[str, int]] = {}
        self._read = 0  # bytes of the journal that are remembered
        folder.mkdir(parents=True, exist_ok=True)
        self._close_torn_line()
        self._catch_up()

    def append(self, kind: str, **content: Any) -> None:
        """Append one event with the time (ms since 1970) at which it happened."""
        line = json.dumps({"kind": kind, "time": int(time.time() * 1000), **content}, sort_keys=True, default=_plain)
        with self.path.open("ab") as file:
            file.write(line.encode() + b"\n")

    def append_metrics(self, values: Mapping[str, float | None], step: int | None) -> None:
        """Append the points that are new: after a resume, steps that were journaled before are left out.

        None (a value that could not be computed) is left out. A value without a step stands at the last step of its
        curve, if it has one; it is left out if it repeats the last value.
        """
        self._catch_up()
        fresh: dict[int | None, dict[str, float]] = {}
        for name, value in values.items():
            last_step, last_value = self._last.get(name, (None, None))
            at = last_step if step is None else step
            known = value == last_value if step is None else last_step is not None and step <= last_step
            if value is not None and not known:
                fresh.setdefault(at, {})[name] = float(value)
        for at, points in fresh.items():
            self.append("metrics", step=at, values={name: strict(value) for name, value in points.items()})
            self._last.update({name: (at, value) for name, value in points.items()})

    def append_file(self, kind: str, name: str, path: Path, relative_to: Path, step: int | None = None) -> None:
        """Append a file or folder by its path, with a hash of its content; unchanged content is left out.

        ``step``: one of several files of that name, each remembered by itself.
        """
        self._catch_up()
        content, (last, count) = fingerprint(path), self._files.get((kind, name, step), ("", 0))
        if content != last:
            stored = path.relative_to(relative_to) if path.is_relative_to(relative_to) else path
            at = {"step": count} if step is None else {"step": step, "of_steps": True}
            self.append(kind, name=name, path=str(stored), fingerprint=content, **at)
            self._files[kind, name, step] = (content, count + 1)

    def after(self, offset: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (offset behind the event, event) for every whole line after byte ``offset``."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(offset)
            for line in iter(file.readline, b""):
                if not line.endswith(b"\n"):
                    return  # another process is writing it
                event = _parse(line)
                if event is not None:
                    yield file.tell(), event

    def sent(self, destination: str, run_id: str) -> int:
        """Return how many bytes of the journal the run ``run_id`` at ``destination`` has received."""
        match self._sent().get(destination):
            case {"run_id": known, "offset": int(offset)} if known == run_id and offset >= 0:
                return offset
        return 0

    def acknowledge(self, destination: str, run_id: str, offset: int) -> None:
        """Remember that the run at ``destination`` has received everything before byte ``offset``."""
        write_json(self.folder / SENT_FILE, {**self._sent(), destination: {"run_id": run_id, "offset": offset}})
        self.acknowledged_at = time.monotonic()

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Hold the right to send; other processes wait. Raises TrackingError as ``locked`` does."""
        with locked(self.folder / "tracking.lock"):
            yield

    def _sent(self) -> dict[str, Any]:
        try:
            sent = read_json(self.folder / SENT_FILE)
        except (FileNotFoundError, ValueError):
            return {}  # everything is sent once more
        return sent if isinstance(sent, dict) else {}

    def _catch_up(self) -> None:
        """Remember what was appended since, also by others: a worker may outlive the group that took its place."""
        for offset, event in self.after(self._read):
            self._read = offset
            with contextlib.suppress(*_MISSHAPEN):  # the sender says so
                self._remember(event)

    def _remember(self, event: dict[str, Any]) -> None:
        if event["kind"] == "metrics":
            self._last.update({name: (event["step"], float(value)) for name, value in event["values"].items()})
        elif "fingerprint" in event:
            step = event["step"] if event.get("of_steps") else None
            self._files[event["kind"], event["name"], step] = (event["fingerprint"], event["step"] + 1)

    def _close_torn_line(self) -> None:
        """A killed process may have left half a line: end it, so that the next event starts on its own."""
        if self.path.exists() and (size := self.path.stat().st_size):
            with self.path.open("rb+") as file:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    file.write(b"\n")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes on ``path`` (made if missing).

    Raises TrackingError if another process holds it for longer than any short transmission takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    _awaited[threading.current_thread()] = (path, time.monotonic())
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        raise TrackingError(f"another process has held {path} for {_LOCK_SECONDS:.0f} s; end it") from None
    finally:
        del _awaited[threading.current_thread()]
    try:
        yield
    finally:
        lock.release()


def lock_awaited(thread: threading.Thread) -> tuple[Path, float] | None:
    """Return the lock that ``thread`` waits for, and since which ``time.monotonic()``; None if it waits for none."""
    return _awaited.get(thread)


def fingerprint(path: Path) -> str:
    """Return a hash of a file's content, or of the names and contents below a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None  # torn by a crash
    return event if _is_event(event) else None  # else something else wrote it


def _is_event(event: Any) -> bool:
    if not isinstance(event, dict) or not isinstance(event.get("time"), int):
        return False
    kind = event.get("kind")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    return fields is not None and fields <= event.keys() and isinstance(event.get("values", {}), dict)


def _plain(value: Any) -> Any:
    """Numbers of numpy and torch become Python's; paths and the like become text."""
    return value.item() if hasattr(value, "item") else str(value)


def strict(value: Any) -> Any:
    """Return ``value``; NaN and infinity become text, which JSON can hold and ``float`` reads."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
