"""A folder of one's own goes through the stages: written into params.yaml, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from source_trees import TREES

ROOT = Path(__file__).resolve().parents[2]

# The task as docs/data.md gives it, and the tree that its folder is filled from.
TASKS = {
    "own_x4": ({"kind": "super_resolution", "dataset": "pictures", "scale": 4, "like": "df2k_x4"}, "pictures"),
    "own_dark": ({"kind": "low_light", "dataset": "pictures", "like": "lol"}, "pictures in pairs"),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_folder_of_ones_own_is_prepared_trained_on_and_restored(task, tmp_path):
    settings, tree = TASKS[task]
    TREES[tree].make(tmp_path / "my pictures")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"profile": "smoke", "tasks": {task: settings}}
    params["datasets"] = {
        "pictures": {"source": "my pictures", "allow_partial": True, "options": TREES[tree].options},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for stage, variant in (("prepare", []), ("pretrain", []), ("train", ["affine"]), ("sample", ["affine"])):
        arguments = ["--task", task, *(["--variant", *variant] if variant else [])]
        arguments += ["--seed", "10"] if stage != "prepare" else []
        command = [sys.executable, "-m", f"stages.{stage}", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "artifacts" / task / "seed10" / "affine"
    assert json.loads((folder / "training" / "summary.json").read_text())["steps"] == 12
    restored = {picture["id"] for picture in json.loads((folder / "samples" / "samples.json").read_text())["pictures"]}
    assert restored
    assert all(any(name.startswith(held_out) for held_out in TREES[tree].validation) for name in restored)
