"""One MLflow run per task x variant x run key, reopened by every stage; the only file that imports mlflow.

Events go to the journal on disk first (pipeline/tracking/journal.py) and from there to MLflow. A server that is down
delays them: one warning, and the next ``open_run`` of the same run sends what is missing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.console import warn
from pipeline.errors import TrackingError
from pipeline.experiment import Experiment
from pipeline.tracking.journal import Journal, fingerprint, locked, strict
from pipeline.tracking.provenance import provenance
from pipeline.tracking.store import (
    EXPERIMENT,
    artifact_location,
    base_folder,
    follow_move,
    sqlite_file,
    tracking_uri,
    without_password,
)

_FLUSH_SECONDS = 5.0
_DEAD_SERVER_SHARE = 0.1  # of the time at most goes into trying a server that does not answer
_METRICS_PER_BATCH, _ENTRIES_PER_BATCH = 800, 100  # MLflow allows 1000 in all, 100 parameters, 100 tags
_REFUSED = 400  # HTTP status of a request that would be refused again
# A dead server must cost seconds; MLflow's own defaults add up to minutes.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

_REPEATED = ("steadyflow.task", "steadyflow.variant", "steadyflow.seed")  # a new run with equal tags supersedes


@dataclass(frozen=True)
class Identity:
    """What makes a run the same run: a re-training with other parameters, data or code has another key."""

    task: str
    variant: str
    seed: int
    run_key: str

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags by which the run is found again."""
        return {
            "steadyflow.task": self.task,
            "steadyflow.variant": self.variant,
            "steadyflow.seed": str(self.seed),
            "steadyflow.run_key": self.run_key,
        }


class Run:
    """An open run; every method writes to the journal and returns at once or after one short transmission."""

    def __init__(self, identity: Identity, journal: Journal, uri: str, base: Path) -> None:
        self._identity, self._journal, self._uri, self._base = identity, journal, uri, base
        self._remote: _Remote | None = None
        self._warned = False
        self._flushed = self._retry_at = 0.0

    @property
    def run_id(self) -> str | None:
        """Return MLflow's id of the run, None while the server is unreachable."""
        return self._remote.run_id if self._remote else None

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings become dotted names."""
        self._journal.append("params", values=dict(_flatten(values)))

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Log metric points such as ``{"train/nll": 1.2}``; None is left out, so are steps logged before."""
        self._journal.append_metrics(values, step)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log rows as the table ``tables/<name>.json``; a table of the same name is replaced."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        data = [[strict(row.get(column)) for column in columns] for row in rows]
        self._journal.append("table", name=_safe_name(name), columns=columns, data=data)

    def image(self, path: Path, name: str) -> None:
        """Log a picture so that MLflow shows those of the same ``name`` of several runs side by side."""
        self._append_file("image", _safe_name(name), path)

    def artifact(self, path: Path, folder: str = "") -> None:
        """Log a file into ``folder``, or the content of a folder into ``folder`` (by default its own name)."""
        name = path.name if path.is_dir() and not folder else f"{folder}/{'' if path.is_dir() else path.name}"
        self._append_file("artifact", _safe_name(name), path)

    def note(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a tag of the same name is replaced."""
        self._journal.append("tags", values={key: str(value) for key, value in tags.items()})

    def flush(self) -> None:
        """Send what the server lacks. A server that fails is left alone for a while; nothing is lost."""
        began = time.monotonic()
        if began < self._retry_at:
            return
        try:
            with self._journal.sending():
                if self._remote is None:
                    self._remote = _connect(self._uri, self._base, self._identity, self._journal)
                self._remote.deliver(self._journal)
        except Exception as error:  # whatever ails the server, the training goes on
            self._remote = None
            self._retry_at = time.monotonic() + (time.monotonic() - began) / _DEAD_SERVER_SHARE
            self._warn_once(error)
        self._flushed = time.monotonic()

    def _append_file(self, kind: str, name: str, path: Path) -> None:
        if not path.exists():
            raise TrackingError(f"{path} does not exist, so it cannot be logged to MLflow")
        self._journal.append_file(kind, name, path.resolve(), self._base)

    def _warn_once(self, error: Exception) -> None:
        if not self._warned:
            warn(
                f"tracking at {without_password(self._uri)} fails ({_one_line(error)}); nothing is lost: events "
                f"are kept in {self._journal.path} and sent by the next stage that finds it working"
            )
        self._warned = True


@contextlib.contextmanager
def open_run(root: Path, experiment: Experiment, run_key: str, stage: str) -> Iterator[Run]:
    """Open the run of (task, variant, seed, run_key), made if there is none; older runs of the three are superseded.

    While open it is RUNNING; it ends FINISHED, or FAILED if the block is left by any exception or interruption.
    A killed process leaves it RUNNING, and the next ``open_run`` goes on with it. Raises TrackingError for a
    tracking URI that MLflow cannot serve, never for a server that is down.
    """
    base = base_folder(root)
    task, variant, seed = experiment.task, experiment.variant or "encoder", experiment.seed
    uri = tracking_uri(root, experiment.runtime.tracking_uri)
    run = Run(
        Identity(task, variant, seed, run_key), Journal(base / ".runs" / f"{task}-{variant}-{run_key}"), uri, base
    )
    run.note(provenance(root, task, experiment.profile, stage))
    _set_status(run, "RUNNING")
    try:
        yield run
    except BaseException:
        with contextlib.suppress(OSError):  # a full disk must not hide the reason
            _set_status(run, "FAILED")
        raise
    _set_status(run, "FINISHED")


def current_runs(root: Path, configured: str = "auto") -> tuple[str, dict[str, list[str]]]:
    """Return (experiment id, task -> ids of its runs that no later training has superseded).

    Raises TrackingError if the server does not answer.
    """
    try:
        client, experiment = _client(tracking_uri(root, configured))
        tasks: dict[str, list[str]] = {}
        for run in _unsuperseded(client, experiment):
            tasks.setdefault(run.data.tags["steadyflow.task"], []).append(run.info.run_id)
    except _mlflow().MlflowException as error:
        raise TrackingError(f"MLflow does not answer: {_one_line(error)}") from None
    return experiment, tasks


class _Remote:
    """The run at the server, and how each kind of event is sent there."""

    def __init__(self, uri: str, base: Path, client: Any, run: Any) -> None:
        self._uri, self._base, self._client = uri, base, client
        self.run_id = run.info.run_id
        self._params = dict(run.data.params)

    def deliver(self, journal: Journal) -> None:
        """Send, in order, the events that the run lacks; what MLflow refuses for good is named and left out."""
        end = journal.sent(self._uri, self.run_id)
        batch: list[dict[str, Any]] = []
        for offset, event in journal.after(end):
            sender = _SENDERS.get(event["kind"])
            if sender is None:
                batch.append(event)
            if sender or len(batch) >= _METRICS_PER_BATCH:
                self._attempt(_Remote._send_batch, batch)
                batch = []
            if sender:
                self._attempt(sender, event)
            if not batch:
                journal.acknowledge(self._uri, self.run_id, offset)
            end = offset
        if batch:
            self._attempt(_Remote._send_batch, batch)
            journal.acknowledge(self._uri, self.run_id, end)

    def _attempt(self, send: Callable[[_Remote, Any], None], content: Any) -> None:
        try:
            send(self, content)
        except _mlflow().MlflowException as error:
            if error.get_http_status_code() != _REFUSED:
                raise
            warn(f"MLflow refuses an entry, it is left out: {_one_line(error)}")

    def _send_batch(self, events: list[dict[str, Any]]) -> None:
        entities = _mlflow().entities
        metrics = [
            entities.Metric(_safe_name(name), float(value), event["time"], event["step"] or 0)
            for event in events
            if event["kind"] == "metrics"
            for name, value in event["values"].items()
        ]
        tags = self._merge(events, "tags")
        params = {_safe_name(name): value for name, value in self._merge(events, "params").items()}
        # MLflow's parameters never change; what a later stage sees otherwise is kept as a tag.
        tags.update({f"changed.{k}": v for k, v in params.items() if self._params.get(k, v) != v})
        fresh = {k: v for k, v in params.items() if k not in self._params}
        for part in _chunks(metrics, _METRICS_PER_BATCH):
            self._client.log_batch(self.run_id, metrics=part)
        for part in _chunks([entities.RunTag(k, v) for k, v in tags.items()], _ENTRIES_PER_BATCH):
            self._client.log_batch(self.run_id, tags=part)
        for part in _chunks([entities.Param(k, v) for k, v in fresh.items()], _ENTRIES_PER_BATCH):
            self._client.log_batch(self.run_id, params=part)
        self._params.update(fresh)

    @staticmethod
    def _merge(events: list[dict[str, Any]], kind: str) -> dict[str, str]:
        return {k: v for event in events if event["kind"] == kind for k, v in event["values"].items()}

    def _send_status(self, event: dict[str, Any]) -> None:
        if event["value"] == "RUNNING":
            self._client.update_run(self.run_id, status="RUNNING")
        else:
            self._client.set_terminated(self.run_id, event["value"], event["time"])

    def _send_table(self, event: dict[str, Any]) -> None:
        name = f"tables/{event['name']}.json"
        if any(item.path == name for item in self._client.list_artifacts(self.run_id, "tables")):
            # log_table would append; pandas' "split" layout is what it writes
            self._client.log_dict(self.run_id, {"columns": event["columns"], "data": event["data"]}, name)
        else:
            columns = {c: [row[i] for row in event["data"]] for i, c in enumerate(event["columns"])}
            self._client.log_table(self.run_id, columns, name)

    def _send_image(self, event: dict[str, Any]) -> None:
        from PIL import Image

        if path := self._unchanged(event):
            with Image.open(path) as picture:
                self._client.log_image(self.run_id, picture, key=event["name"], step=event["step"])

    def _send_artifact(self, event: dict[str, Any]) -> None:
        if path := self._unchanged(event):
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), event["name"])
            else:
                folder, _, _ = event["name"].rpartition("/")
                self._client.log_artifact(self.run_id, str(path), folder or None)

    def _unchanged(self, event: dict[str, Any]) -> Path | None:
        """A file that was delayed may belong to another training by now: then it is left out."""
        path = self._base / event["path"]
        if path.exists() and fingerprint(path) == event["fingerprint"]:
            return path
        warn(f"{path} was to be logged to MLflow, but is gone or has changed since; it is left out")
        return None


_SENDERS = {
    "status": _Remote._send_status,
    "table": _Remote._send_table,
    "image": _Remote._send_image,
    "artifact": _Remote._send_artifact,
}


def _connect(uri: str, base: Path, identity: Identity, journal: Journal) -> _Remote:
    """Find the run by its tags or make it, and let it supersede the others of its task x variant x seed."""
    client, experiment = _client(uri)
    found = [
        run
        for run in client.search_runs([experiment], f"tags.\"steadyflow.run_key\" = '{identity.run_key}'")
        if identity.tags.items() <= run.data.tags.items()
    ]
    if found:
        run = found[0]
    else:
        began = next((event["time"] for _, event in journal.after(0)), None)
        run = client.create_run(experiment, began, identity.tags, f"{identity.task}-{identity.variant}-{identity.seed}")
    client.set_tag(run.info.run_id, "steadyflow.superseded", "false")
    for other in _unsuperseded(client, experiment):
        same = all(other.data.tags.get(key) == identity.tags[key] for key in _REPEATED)
        if same and other.info.run_id != run.info.run_id:
            client.set_tag(other.info.run_id, "steadyflow.superseded", "true")
    return _Remote(uri, base, client, run)


def _unsuperseded(client: Any, experiment: str) -> list[Any]:
    return list(client.search_runs([experiment], "tags.\"steadyflow.superseded\" = 'false'"))


def _client(uri: str) -> tuple[Any, str]:
    """Return (client, id of our experiment); a new data base is made by one process at a time."""
    mlflow = _mlflow()
    database = sqlite_file(uri)
    if database is None:
        client = mlflow.MlflowClient(uri)
        return client, _experiment(client, None)
    with locked(database.parent / ".runs" / "mlflow.lock"):
        client = mlflow.MlflowClient(uri)
        follow_move(database)
        return client, _experiment(client, artifact_location(database))


def _experiment(client: Any, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        # The tag opens MLflow's page in its view for model training.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(EXPERIMENT, artifacts, tags))
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"experiment '{EXPERIMENT}' is deleted; `mlflow experiments restore --experiment-id "
            f"{found.experiment_id}` brings it back"
        )
    return str(found.experiment_id)


def _mlflow() -> Any:
    """Import mlflow (seconds) without its log lines and telemetry."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow
    import mlflow.entities

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def _set_status(run: Run, status: str) -> None:
    run._journal.append("status", value=status)
    run.flush()


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _safe_name(name: str) -> str:
    """Return ``name`` with what MLflow or a path would choke on replaced."""
    parts = re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII).split("/")
    return "/".join(part for part in parts if part.strip(". "))


def _one_line(error: Exception) -> str:
    text = without_password(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
