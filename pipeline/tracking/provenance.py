"""From which code, data and settings a stage works, as tags of its run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pipeline.files import read_json, sha256_of
from pipeline.layout import manifest_path


def provenance(root: Path, stage: str, profile: str, task: str | None = None) -> dict[str, str]:
    """Return tags: profile, DVC stage, git commit, hash of the prepared data of ``task``.

    What is unknown is left out, and so are the data of a run that reads no prepared pictures (``task`` None).
    """
    tags = {
        "steadyflow.profile": profile,
        "steadyflow.dvc_stage": os.environ.get("DVC_STAGE") or stage,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": f"stages/{stage}.py",
    }
    if task is not None and (manifest := manifest_path(root, task)).is_file():
        tags["steadyflow.data_sha256"] = sha256_of(manifest)
        tags["steadyflow.demo_pictures"] = str(bool(read_json(manifest).get("demo"))).lower()
    if commit := _git(root, "rev-parse", "HEAD"):
        tags["mlflow.source.git.commit"] = commit
        # dvc.lock, which a first run leaves untracked, is no modification
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
        tags["steadyflow.git_state"] = "modified" if changed else "clean"
    if profile != "paper":
        tags["mlflow.note.content"] = f"**{profile} profile**: a small network, not the papers' setting."
    return tags


def as_later_stage(tags: Mapping[str, str], stage: str) -> dict[str, str]:
    """Return the tags of a stage that adds to a run: where the run is from is left to the one that made it."""
    kept = {name: value for name, value in tags.items() if not name.startswith("mlflow.source.")}
    state, commit = kept.pop("steadyflow.git_state", ""), tags.get("mlflow.source.git.commit")
    if commit:
        kept[f"steadyflow.commit.{stage}"] = commit if state == "clean" else f"{commit} ({state})"
    return kept


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""  # no git, or not a checkout
    return done.stdout.strip()
