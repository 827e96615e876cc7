"""One MLflow run per identity, reopened by every stage.

Events go to the journal on disk first (pipeline/tracking/journal.py). A thread carries them to MLflow
(pipeline/tracking/delivery.py), so that nobody who logs waits for a server.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import TrackingError
from pipeline.layout import store_root
from pipeline.tracking.client import import_mlflow, safe_name
from pipeline.tracking.data import DataSet
from pipeline.tracking.delivery import Sender
from pipeline.tracking.identity import Identity
from pipeline.tracking.journal import Journal, strict
from pipeline.tracking.store import tracking_uri


class _Delivery(Protocol):
    """Who brings a journal to the server: a Sender, or nobody yet."""

    @property
    def run_id(self) -> str | None: ...

    def ask(self) -> None: ...

    def wait(self) -> None: ...


class _Later:
    """Nobody sends: the run is only written down."""

    run_id = None

    def ask(self) -> None:
        pass

    def wait(self) -> None:
        pass


class Run:
    """An open run; every method but ``flush`` writes to the journal and returns at once."""

    def __init__(self, journal: Journal, sender: _Delivery, base: Path) -> None:
        self._journal, self._sender, self._base = journal, sender, base

    @property
    def run_id(self) -> str | None:
        """Return MLflow's id of the run, None until the server has answered."""
        return self._sender.run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings become dotted names."""
        self._journal.append("params", values=dict(_flatten(values)))

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Log metric points such as ``{"train/nll": 1.2}``; None is left out, so are steps logged before."""
        self._journal.append_metrics(values, step)
        self._sender.ask()

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log rows as the table ``tables/<name>.json``; a table of the same name is replaced."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        data = [[strict(row.get(column)) for column in columns] for row in rows]
        self._journal.append("table", name=safe_name(name), columns=columns, data=data)

    def image(self, path: Path, name: str) -> None:
        """Log a picture so that MLflow shows those of the same ``name`` of several runs side by side."""
        self._append_file("image", safe_name(name), path)

    def images(self, paths: Sequence[Path], name: str) -> None:
        """Log pictures as one panel with a slider, in their order; MLflow moves those of several runs together."""
        for step, path in enumerate(paths):
            self._append_file("image", safe_name(name), path, step)

    def data(self, used: DataSet) -> None:
        """Log a data set that the run works with, by its hash; no picture is copied."""
        self._journal.append("data", **dataclasses.asdict(used))

    def artifact(self, path: Path, folder: str = "") -> None:
        """Log a file into ``folder``, or the content of a folder into ``folder`` (by default its own name)."""
        name = path.name if path.is_dir() and not folder else f"{folder}/{'' if path.is_dir() else path.name}"
        self._append_file("artifact", safe_name(name), path)

    def note(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a tag of the same name is replaced."""
        self._journal.append("tags", values={key: str(value) for key, value in tags.items()})

    def flush(self) -> None:
        """Wait until the server has what it lacks, or has failed, or took nothing for a while; nothing is lost."""
        self._sender.wait()

    def _status(self, value: str) -> None:
        self._journal.append("status", value=value)
        self._sender.ask()

    def _append_file(self, kind: str, name: str, path: Path, step: int | None = None) -> None:
        if not path.exists():
            raise TrackingError(f"{path} does not exist, so it cannot be logged to MLflow")
        self._journal.append_file(kind, name, path.resolve(), self._base, step)


@contextlib.contextmanager
def open_run(root: Path, identity: Identity, uri: str, provenance: Mapping[str, str]) -> Iterator[Run]:
    """Open the run of ``identity``, made if there is none; ``uri`` is runtime.tracking_uri (``auto``: see store.py).

    While open it is RUNNING; it ends FINISHED, or FAILED if the block is left by any exception or interruption.
    A killed process leaves it RUNNING, and the next ``open_run`` goes on with it. ``provenance`` are tags. Raises
    TrackingError for a tracking URI that MLflow cannot serve, never for a server that is down: it gets what it lacks
    from the next ``open_run`` of this run or of one nested in it.
    """
    destination = tracking_uri(root, uri)
    import_mlflow()  # here, not in the thread: two threads that import at a time may see half a module
    journal = Journal(identity.folder(root))
    with contextlib.closing(Sender(identity, journal, root, destination)) as sender:
        run = Run(journal, sender, store_root(root))
        run.note(provenance)
        run._status("RUNNING")
        try:
            yield run
        except BaseException:
            with contextlib.suppress(OSError):  # a full disk must not hide the reason
                run._status("FAILED")
            raise
        run._status("FINISHED")


def write_down(root: Path, identity: Identity) -> Run:
    """Return the run of ``identity`` that nobody sends: for a process beside the one that will open it."""
    return Run(Journal(identity.folder(root)), _Later(), store_root(root))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
