"""A run at its tracking server: found or made there, and how each kind of event is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.console import warn
from pipeline.layout import store_root
from pipeline.tracking.client import import_mlflow, one_line, open_client, safe_name
from pipeline.tracking.identity import Identity
from pipeline.tracking.journal import Journal, fingerprint
from pipeline.tracking.matching import find, make, put_in_force

_METRICS_PER_BATCH, _ENTRIES_PER_BATCH = 800, 100  # MLflow allows 1000 in all, 100 parameters, 100 tags
_REFUSED = 400  # HTTP status of a request that would be refused again


class Remote:
    """The run at the server, and how each kind of event is sent there."""

    def __init__(self, uri: str, root: Path, client: Any, run: Any) -> None:
        self._uri, self._base, self._client = uri, store_root(root), client
        self.run_id = run.info.run_id
        self._params = dict(run.data.params)
        # A finished run that later stages add to keeps its end: MLflow shows what is between as its duration.
        self._ended: int | None = run.info.end_time if run.info.status == "FINISHED" else None

    def deliver(self, journal: Journal) -> None:
        """Send, in order, the events that the run lacks; what MLflow refuses for good is named and left out."""
        end = journal.sent(self._uri, self.run_id)
        batch: list[dict[str, Any]] = []
        for offset, event in journal.after(end):
            sender = _SENDERS.get(event["kind"])
            if sender is None:
                batch.append(event)
            if sender or len(batch) >= _METRICS_PER_BATCH:
                self._attempt(Remote._send_batch, batch)
                batch = []
            if sender:
                self._attempt(sender, event)
            if not batch:
                journal.acknowledge(self._uri, self.run_id, offset)
            end = offset
        if batch:
            self._attempt(Remote._send_batch, batch)
            journal.acknowledge(self._uri, self.run_id, end)

    def _attempt(self, send: Callable[[Remote, Any], None], content: Any) -> None:
        try:
            send(self, content)
        except import_mlflow().MlflowException as error:
            if error.get_http_status_code() != _REFUSED:
                raise
            warn(f"MLflow refuses an entry, it is left out: {one_line(error)}")

    def _send_batch(self, events: list[dict[str, Any]]) -> None:
        entities = import_mlflow().entities
        metrics = [
            entities.Metric(safe_name(name), float(value), event["time"], event["step"] or 0)
            for event in events
            if event["kind"] == "metrics"
            for name, value in event["values"].items()
        ]
        tags = self._merge(events, "tags")
        params = {safe_name(name): value for name, value in self._merge(events, "params").items()}
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
            return
        if self._ended is None or event["value"] == "FAILED":
            self._ended = event["time"]
        self._client.set_terminated(self.run_id, event["value"], self._ended)

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

    def _send_data(self, event: dict[str, Any]) -> None:
        mlflow = import_mlflow()
        source = mlflow.data.sources.LocalArtifactDatasetSource(event["source"])
        used = mlflow.data.meta_dataset.MetaDataset(source, event["name"], event["digest"])
        entity = mlflow.entities.Dataset(**used.to_dict(), profile=json.dumps(event["profile"]))
        context = mlflow.entities.InputTag("mlflow.data.context", event["context"])
        self._client.log_inputs(self.run_id, [mlflow.entities.DatasetInput(entity, [context])])

    def _unchanged(self, event: dict[str, Any]) -> Path | None:
        """A file that was delayed may belong to another training by now: then it is left out."""
        path = self._base / event["path"]
        if path.exists() and fingerprint(path) == event["fingerprint"]:
            return path
        warn(f"{path} was to be logged to MLflow, but is gone or has changed since; it is left out")
        return None


_SENDERS = {
    "status": Remote._send_status,
    "table": Remote._send_table,
    "image": Remote._send_image,
    "artifact": Remote._send_artifact,
    "data": Remote._send_data,
}


def connect(uri: str, root: Path, identity: Identity, journal: Journal) -> Remote:
    """Return the run of ``identity`` at ``uri``, found or made, in force; raises what MLflow raises.

    A parent that the server has never seen is made before, and gets what its own journal holds. The caller holds
    ``journal.sending()``: two processes would make a run each.
    """
    client, experiment = open_client(uri)

    def parent_of(identity: Identity) -> str | None:
        if identity.parent is None:
            return None
        journal = Journal(identity.parent.folder(root))
        with journal.sending():
            parent = Remote(uri, root, client, reopened(identity.parent, journal, anew=False))
            parent.deliver(journal)
        return parent.run_id

    def reopened(identity: Identity, journal: Journal, anew: bool) -> Any:
        parent_id = parent_of(identity)
        run = find(client, experiment, identity, parent_id)
        if run is None:
            began = next((event["time"] for _, event in journal.after(0)), None)
            run, anew = make(client, experiment, identity, parent_id, began), True
        if anew:
            put_in_force(client, experiment, identity, run)
        return run

    return Remote(uri, root, client, reopened(identity, journal, anew=True))


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
