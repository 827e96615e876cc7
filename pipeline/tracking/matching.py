"""Which run in MLflow belongs to an identity, which runs it supersedes, and which stand side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import TrackingError
from pipeline.tracking.client import import_mlflow, one_line, open_client, search
from pipeline.tracking.identity import KEY_TAG, PARENT_TAG, Identity
from pipeline.tracking.store import tracking_uri

_SUPERSEDED = "steadyflow.superseded"


def find(client: Any, experiment: str, identity: Identity, parent_id: str | None) -> Any | None:
    """Return the run of ``identity`` below the run ``parent_id``, None if there is none."""
    same_key = search(client, experiment, f"tags.\"{KEY_TAG}\" = '{identity.key}'")
    return next((run for run in same_key if identity.is_stored_as(run.data.tags, parent_id)), None)


def make(client: Any, experiment: str, identity: Identity, parent_id: str | None, began: int | None) -> Any:
    """Make the run of ``identity``, which ``began`` so many ms after 1970 (None: now)."""
    return client.create_run(experiment, began, identity.stored(parent_id), identity.name)


def put_in_force(client: Any, experiment: str, identity: Identity, run: Any) -> None:
    """Let ``run`` supersede what ``identity`` takes the place of, and be superseded by nothing itself."""
    client.set_tag(run.info.run_id, _SUPERSEDED, "false")
    if not identity.supersedes:
        return
    parent_id = run.data.tags.get(PARENT_TAG)
    for other in _in_force(client, experiment):
        replaced = identity.takes_the_place_of(other.data.tags, parent_id)
        if replaced and other.info.run_id != run.info.run_id:
            client.set_tag(other.info.run_id, _SUPERSEDED, "true")


def comparisons(root: Path, configured: str = "auto") -> tuple[str, list[tuple[str, list[str]]]]:
    """Return (experiment id, [(what, ids of the runs that stand side by side)]); superseded runs are left out.

    First the runs of every task that have no parent, then the nested runs of every parent such as a search. Raises
    TrackingError if the server does not answer.
    """
    try:
        client, experiment = open_client(tracking_uri(root, configured))
        runs = _in_force(client, experiment)
    except import_mlflow().MlflowException as error:
        raise TrackingError(f"MLflow does not answer: {one_line(error)}") from None
    tasks: dict[str, list[str]] = {}
    nested: dict[str, list[str]] = {}
    for run in runs:
        task, parent = run.data.tags.get("steadyflow.task"), run.data.tags.get(PARENT_TAG)
        if parent:
            nested.setdefault(parent, []).append(run.info.run_id)
        elif task:
            tasks.setdefault(task, []).append(run.info.run_id)
    parents = sorted((run.info.run_name, run.info.run_id) for run in runs if run.info.run_id in nested)
    return experiment, [*sorted(tasks.items()), *((f"runs of {name}", nested[run_id]) for name, run_id in parents)]


def _in_force(client: Any, experiment: str) -> list[Any]:
    return list(search(client, experiment, f"tags.\"{_SUPERSEDED}\" = 'false'"))
