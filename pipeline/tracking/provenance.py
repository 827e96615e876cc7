"""From which code, data and settings a stage works, as tags of its run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipeline.files import read_json
from pipeline.tracking.journal import fingerprint


def provenance(root: Path, task: str, profile: str, stage: str) -> dict[str, str]:
    """Return tags: profile, DVC stage, git commit, hash of the prepared data; what is unknown is left out."""
    manifest = root / "data" / "prepared" / task / "manifest.json"
    tags = {
        "steadyflow.profile": profile,
        "steadyflow.dvc_stage": os.environ.get("DVC_STAGE") or stage,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": f"stages/{stage}.py",
    }
    if manifest.is_file():
        tags["steadyflow.data_sha256"] = fingerprint(manifest)
        tags["steadyflow.demo_pictures"] = str(bool(read_json(manifest).get("demo"))).lower()
    if commit := _git(root, "rev-parse", "HEAD"):
        tags["mlflow.source.git.commit"] = commit
        # dvc.lock, which a first run leaves untracked, is no modification
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
        tags["steadyflow.git_state"] = "modified" if changed else "clean"
    if profile != "paper":
        tags["mlflow.note.content"] = f"**{profile} profile**: a small network, not the papers' setting."
    return tags


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""  # no git, or not a checkout
    return done.stdout.strip()
