"""Where things lie below the project's root; docs/architecture.md says what is in them."""

from __future__ import annotations

import os
from pathlib import Path

STUDIES = "studies"  # under artifacts/, where tasks have their folders, too


def project_root() -> Path:
    """Return the folder of dvc.yaml: the current one (DVC runs stages there)."""
    return Path.cwd()


_RUNS = ".runs"


def store_root(root: Path) -> Path:
    """Return where runs and the MLflow database live: ``root``, or under a queued DVC experiment the parent project.

    `dvc queue` runs its stages in a copy that is thrown away.
    """
    return Path(os.environ.get("DVC_ROOT") or root).resolve()


def prepared_folder(root: Path, task: str) -> Path:
    """Return where the prepared pictures of ``task`` are."""
    return root / "data" / "prepared" / task


def settings_path(root: Path) -> Path:
    """Return the file of the resolved settings."""
    return root / "artifacts" / "settings.json"


def manifest_path(root: Path, task: str) -> Path:
    """Return the manifest of a task's prepared pictures."""
    return prepared_folder(root, task) / "manifest.json"


def encoder_folder(root: Path, task: str, seed: int) -> Path:
    """Return the model folder of a task's pretrained encoder."""
    return root / "artifacts" / task / f"seed{seed}" / "encoder"


def variant_folder(root: Path, task: str, variant: str, seed: int) -> Path:
    """Return the folder that holds model/, training/, samples/, evaluation/ and stability/."""
    return root / "artifacts" / task / f"seed{seed}" / variant


def study_folder(root: Path, study: str) -> Path:
    """Return where a study of params.yaml writes its results."""
    return root / "artifacts" / STUDIES / study


def search_folder(root: Path, search: str) -> Path:
    """Return where a search of params.yaml writes its results.

    Not under artifacts/: the report depends on that folder, so that whoever makes a report would make every search.
    """
    return root / "searches" / search


def searches_stamp(root: Path) -> Path:
    """Return the file that says which results of searches there are; the report depends on it."""
    return root / "artifacts" / "searches.json"


def runs_folder(root: Path) -> Path:
    """Return the folder of all scratch folders of runs."""
    return store_root(root) / _RUNS


def runs_beside(database: Path) -> Path:
    """Return the folder of scratch folders beside a data base of runs."""
    return database.parent / _RUNS


def run_folder(root: Path, name: str, key: str, parent: Path | None = None) -> Path:
    """Return the scratch folder of a run (checkpoints, tracking journal); a nested run's is inside its parent's."""
    return (parent or runs_folder(root)) / f"{name}-{key}"
