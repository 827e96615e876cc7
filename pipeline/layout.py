"""Where things lie below the project's root; docs/architecture.md says what is in them."""

from __future__ import annotations

import os
from pathlib import Path


def project_root() -> Path:
    """Return the folder of dvc.yaml: the current one (DVC runs stages there)."""
    return Path.cwd()


def store_root() -> Path:
    """Return where runs and the MLflow database live; under a queued DVC experiment, the parent project."""
    return Path(os.environ.get("DVC_ROOT") or project_root())


def settings_path(root: Path) -> Path:
    """Return the file of the resolved settings."""
    return root / "artifacts" / "settings.json"


def manifest_path(root: Path, task: str) -> Path:
    """Return the manifest of a task's prepared pictures."""
    return root / "data" / "prepared" / task / "manifest.json"


def encoder_folder(root: Path, task: str, seed: int) -> Path:
    """Return the model folder of a task's pretrained encoder."""
    return root / "artifacts" / task / f"seed{seed}" / "encoder"


def variant_folder(root: Path, task: str, variant: str, seed: int) -> Path:
    """Return the folder that holds model/, training/, samples/, evaluation/ and stability/."""
    return root / "artifacts" / task / f"seed{seed}" / variant


def run_folder(task: str, variant: str, run_key: str) -> Path:
    """Return the scratch folder of a run: checkpoints and the tracking journal. The key tells seeds apart."""
    return store_root() / ".runs" / f"{task}-{variant}-{run_key}"
