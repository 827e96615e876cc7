"""A project of one task at the smoke profile, and its stages as DVC runs them."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
TASK = "df2k_x4"


def make_project(folder: Path, **training) -> Path:
    """Make a project folder with the committed params.yaml at the smoke profile."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"profile": "smoke", "tasks": {TASK: params["tasks"][TASK]}}
    params["profiles"] = {"smoke": params["profiles"]["smoke"]}
    params["profiles"]["smoke"][TASK]["training"] |= training
    params["runtime"] |= {"log_every": 1, "threads": 1, "checkpoint_seconds": 0.0}
    folder.mkdir(parents=True, exist_ok=True)
    save_params(folder, params)
    return folder


def save_params(folder: Path, params: dict) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def edit_params(folder: Path, change) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    change(params)
    save_params(folder, params)


def command(stage: str, variant: str | None = "affine", seed: int = 10) -> list[str]:
    chosen = [*(["--variant", variant] if variant else []), *(["--seed", str(seed)] if stage != "prepare" else [])]
    return [sys.executable, "-m", f"stages.{stage}", "--task", TASK, *chosen]


def run(folder: Path, stage: str, variant: str | None = "affine", **environment) -> subprocess.CompletedProcess:
    env = {**os.environ, **environment}
    return subprocess.run(
        command(stage, variant), cwd=folder, env=env, capture_output=True, text=True, timeout=500, check=False
    )


def succeed(folder: Path, stage: str, variant: str | None = "affine", **environment) -> str:
    done = run(folder, stage, variant, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fail(folder: Path, stage: str, variant: str | None = "affine", **environment) -> str:
    """Run a stage that must fail for a user's mistake; return its one line."""
    done = run(folder, stage, variant, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


def weights(folder: Path) -> dict:
    return load_file(folder / "artifacts" / TASK / "seed10" / "affine" / "model" / "weights.safetensors")


def curve(folder: Path) -> list[float]:
    with (folder / "artifacts" / TASK / "seed10" / "affine" / "training" / "curve.csv").open() as file:
        return [float(row["nll"]) for row in csv.DictReader(file)]


def copy_project(source: Path, target: Path) -> Path:
    for name in ("data", "artifacts"):
        shutil.copytree(source / name, target / name)
    return make_project(target)
