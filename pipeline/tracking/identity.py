"""What makes a run the same run, and which older runs it takes the place of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.layout import run_folder

KEY_TAG = "steadyflow.run_key"
PARENT_TAG = "mlflow.parentRunId"  # MLflow's own: it shows runs that have it below their parent


@dataclass(frozen=True)
class Identity:
    """A run is the same run if its tags, its key and its parent are the same.

    ``name`` is shown in MLflow and names the folder of the run. ``tags`` such as ``{"task": "df2k_x4", "seed": 10}``
    are stored as ``steadyflow.task`` and so on. ``key`` is a hash of all that the result depends on. ``supersedes``
    is the rule of the run's owner: names of tags; a new run supersedes the older ones that have equal values of these
    and the same parent, or none as it has none. Without names it supersedes none. Raises ValueError for a rule about
    tags that the run does not have, and for a key of other characters than letters, digits, ``_`` and ``-``.
    """

    name: str
    tags: Mapping[str, object]
    key: str
    parent: Identity | None = None
    supersedes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := set(self.supersedes) - set(self.tags):
            raise ValueError(f"run {self.name} supersedes by {sorted(unknown)}, its tags are {sorted(self.tags)}")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.key):
            raise ValueError(f"key '{self.key}' of run {self.name} is no hash")

    def folder(self, root: Path) -> Path:
        """Return the run's scratch folder, inside of its parent's."""
        return run_folder(root, self.name, self.key, self.parent.folder(root) if self.parent else None)

    def stored(self, parent_id: str | None) -> dict[str, str]:
        """Return the tags of the run in MLflow; ``parent_id`` is MLflow's id of the parent."""
        nested = {PARENT_TAG: parent_id} if parent_id else {}
        return {**self._stored(tuple(self.tags)), KEY_TAG: self.key, **nested}

    def is_stored_as(self, found: Mapping[str, str], parent_id: str | None) -> bool:
        """Return whether a run in MLflow with the tags ``found`` is this run."""
        return found.get(PARENT_TAG) == parent_id and self.stored(parent_id).items() <= found.items()

    def takes_the_place_of(self, found: Mapping[str, str], parent_id: str | None) -> bool:
        """Return whether this run supersedes a run in MLflow with the tags ``found``."""
        same = found.get(PARENT_TAG) == parent_id and self._stored(self.supersedes).items() <= found.items()
        return bool(self.supersedes) and same

    def _stored(self, names: tuple[str, ...]) -> dict[str, str]:
        return {f"steadyflow.{name}": str(self.tags[name]) for name in names}


def training_identity(task: str, variant: str, seed: int, key: str, parent: Identity | None = None) -> Identity:
    """Return the identity of a training: training anew supersedes the trainings before it, but not inside a parent.

    There, in a search, equal tasks, variants and seeds with other settings live side by side.
    """
    tags = {"task": task, "variant": variant, "seed": seed}
    return Identity(f"{task}-{variant}-{seed}", tags, key, parent, supersedes=() if parent else tuple(tags))
