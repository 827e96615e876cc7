"""The thread that carries a run's journal to its tracking server, so that a slow or dead one costs no training time."""

from __future__ import annotations

import functools
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.console import warn
from pipeline.layout import runs_folder
from pipeline.tracking.client import being_made, one_line
from pipeline.tracking.identity import Identity
from pipeline.tracking.journal import Journal, lock_awaited
from pipeline.tracking.remote import Remote, connect
from pipeline.tracking.store import check_database, sqlite_file, without_password

_PAUSE_SECONDS = 5.0  # between two deliveries that nobody waits for
_PATIENCE_SECONDS = 60.0  # a server that takes nothing for so long is not waited for
_LOCKED_SECONDS = 5.0  # nor is another process that holds a lock
_POLL_SECONDS = 0.5
_DEAD_SERVER_SHARE = 0.1  # of the time at most goes into trying a server that does not answer


@dataclass
class _Server:
    """What this process knows of a server: one that fails is named once, and left alone for a while by every run."""

    uri: str
    runs: Path
    retry_at: float = 0.0
    named: bool = False

    def failed(self, why: str, seconds: float) -> None:
        """Remember a failure that took ``seconds``."""
        self.retry_at = time.monotonic() + seconds / _DEAD_SERVER_SHARE
        if not self.named:
            self.named = True
            warn(
                f"tracking at {without_password(self.uri)} fails ({why}); nothing is lost: events are kept in "
                f"{self.runs} and sent by the next stage that finds it working"
            )


_server = functools.cache(_Server)  # one per process and address


class Sender:
    """Sends what the server lacks, in a thread of its own; it never raises, a server that fails is warned of."""

    def __init__(self, identity: Identity, journal: Journal, root: Path, uri: str) -> None:
        self._identity, self._journal, self._root, self._uri = identity, journal, root, uri
        self._server = _server(uri, runs_folder(root))
        self._remote: Remote | None = None
        self._state = threading.Condition()
        self._asked = self._answered = 0  # requests so far, and the last one that was tried
        self._hurry = self._closed = False
        # A daemon: a process that ends does not wait for it either.
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    @property
    def run_id(self) -> str | None:
        """Return MLflow's id of the run, None while the server is unreachable."""
        remote = self._remote
        return remote.run_id if remote else None

    def ask(self) -> None:
        """Have the journal sent some time soon."""
        with self._state:
            self._asked += 1
            self._state.notify_all()

    def wait(self) -> None:
        """Have the journal sent now; return when that was tried, or when nothing was taken for a minute.

        While another process holds a lock that sending needs, it is waited for 5 s at the most; longer only where it
        makes the data base.
        """
        began = time.monotonic()
        with self._state:
            self._asked += 1
            mine, self._hurry = self._asked, True
            self._state.notify_all()
            while self._answered < mine:
                now = time.monotonic()
                lock = lock_awaited(self._thread)
                if lock and now - lock[1] > _LOCKED_SECONDS and not being_made(self._uri):
                    self._server.failed(f"another process holds {lock[0]}", now - lock[1])
                    return
                left = max(began, self._journal.acknowledged_at) + _PATIENCE_SECONDS - now
                if left <= 0:
                    self._server.failed(f"it took nothing for {_PATIENCE_SECONDS:.0f} s", now - began)
                    return
                self._state.wait(min(left, _POLL_SECONDS))

    def close(self) -> None:
        """Wait as ``wait`` does, then end the thread."""
        try:
            self.wait()
        finally:
            with self._state:
                self._closed = True
                self._state.notify_all()

    def _work(self) -> None:
        tried = -_PAUSE_SECONDS
        while True:
            with self._state:
                self._state.wait_for(lambda: self._closed or self._asked > self._answered)
                pause = tried + _PAUSE_SECONDS - time.monotonic()
                self._state.wait_for(lambda: self._closed or self._hurry, max(pause, 0.0))
                if self._closed:
                    return
                now, self._hurry = self._asked, False
            tried = time.monotonic()
            self._try()
            with self._state:
                self._answered = now
                self._state.notify_all()

    def _try(self) -> None:
        began = time.monotonic()
        if began < self._server.retry_at:
            return
        try:
            with self._journal.sending():
                if self._remote is not None and (database := sqlite_file(self._uri)):
                    check_database(database)
                if self._remote is None:
                    self._remote = connect(self._uri, self._root, self._identity, self._journal)
                self._remote.deliver(self._journal)
        except Exception as error:  # whatever ails the server, the training goes on
            self._remote = None
            self._server.failed(one_line(error), time.monotonic() - began)
