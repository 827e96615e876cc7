"""A regularizer and a way to save memory in params.yaml, as the training stage takes them."""

import csv
import json
import signal
import subprocess
import time

import pytest
import torch
from smoke_project import TASK, command, copy_project, edit_params, succeed, weights
from tracking_store import only_run

REGULARIZED = {
    "memory": "reversible",
    "regularizer": {"name": "finite_differences", "options": {"weight": 0.01, "every": 4}},
}


def asked(folder):
    edit_params(folder, lambda params: params["profiles"]["smoke"][TASK]["training"].update(REGULARIZED))


@pytest.mark.slow  # in one process it is in tests/pipeline/training/test_regularizers.py
def test_a_regularized_training_is_interrupted_and_ends_the_same_with_its_penalty_in_the_curve(
    pretrained, project, tmp_path_factory
):
    whole = copy_project(pretrained, tmp_path_factory.mktemp("whole"))
    asked(whole)
    succeed(whole, "train")
    asked(project)
    stage = subprocess.Popen(command("train"), cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while not list(project.glob(".runs/*/checkpoint-previous.pt")):
        assert stage.poll() is None and time.monotonic() < deadline, stage.communicate()[0]
        time.sleep(0.01)
    stage.send_signal(signal.SIGTERM)
    said, _ = stage.communicate(timeout=120)
    assert stage.returncode == 130 and "the same command goes on" in said
    succeed(project, "train")
    expected, found = weights(whole), weights(project)
    assert all(torch.equal(expected[name], tensor) for name, tensor in found.items())

    folder = project / "artifacts" / TASK / "seed10" / "affine" / "training"
    with (folder / "curve.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["penalty"]] == [4, 8, 12]
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["nll"] == pytest.approx(float(rows[-1]["nll"])) and summary["skipped_steps"] == 0
    client, run = only_run(project)
    logged = {name: client.get_metric_history(run.info.run_id, f"train/{name}") for name in ("nll", "loss", "penalty")}
    assert {name: len(points) for name, points in logged.items()} == {"nll": 12, "loss": 12, "penalty": 3}
    assert run.data.params["training.memory"] == "reversible"
    assert run.data.params["training.regularizer.options.weight"] == "0.01"
