"""Which run in MLflow belongs to an identity, and which runs it supersedes."""

from __future__ import annotations

from typing import Any

from pipeline.tracking.client import search
from pipeline.tracking.identity import KEY_TAG, PARENT_TAG, Identity

SUPERSEDED = "steadyflow.superseded"
IN_FORCE = f"tags.`{SUPERSEDED}` = 'false'"


def find(client: Any, experiment: str, identity: Identity, parent_id: str | None) -> Any | None:
    """Return the run of ``identity`` below the run ``parent_id``, None if there is none."""
    same_key = search(client, experiment, f"tags.\"{KEY_TAG}\" = '{identity.key}'")
    return next((run for run in same_key if identity.is_stored_as(run.data.tags, parent_id)), None)


def make(client: Any, experiment: str, identity: Identity, parent_id: str | None, began: int | None) -> Any:
    """Make the run of ``identity``, which ``began`` so many ms after 1970 (None: now)."""
    return client.create_run(experiment, began, identity.stored(parent_id), identity.name)


def put_in_force(client: Any, experiment: str, identity: Identity, run: Any) -> None:
    """Let ``run`` supersede what ``identity`` takes the place of, and be superseded by nothing itself."""
    client.set_tag(run.info.run_id, SUPERSEDED, "false")
    if not identity.supersedes:
        return
    parent_id = run.data.tags.get(PARENT_TAG)
    for other in in_force(client, experiment):
        replaced = identity.takes_the_place_of(other.data.tags, parent_id)
        if replaced and other.info.run_id != run.info.run_id:
            client.set_tag(other.info.run_id, SUPERSEDED, "true")


def in_force(client: Any, experiment: str) -> list[Any]:
    """Return every run that no other one supersedes."""
    return list(search(client, experiment, IN_FORCE))
