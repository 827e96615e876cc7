"""A training that a signal ends, as a process: the same command ends with the same weights and one run."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from smoke_project import TASK, command, succeed, weights
from tracking_store import all_runs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_training_goes_on_and_ends_with_the_same_weights(project, trained, number):
    stage = subprocess.Popen(command("train"), cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while not list(project.glob(".runs/*/checkpoint-previous.pt")):
        assert stage.poll() is None and time.monotonic() < deadline, stage.communicate()[0]
        time.sleep(0.01)
    stage.send_signal(number)
    said, _ = stage.communicate(timeout=120)
    if number != signal.SIGKILL:
        assert stage.returncode == 130 and "the same command goes on" in said and "Traceback" not in said
    assert not (project / "artifacts" / TASK / "seed10" / "affine" / "model").exists()
    succeed(project, "train")
    expected, found = weights(trained), weights(project)
    assert all(bool((expected[name] == found[name]).all()) for name in expected)
    client, runs = all_runs(project)
    assert [run.info.status for run in runs] == ["FINISHED"]
    steps = [point.step for point in client.get_metric_history(runs[0].info.run_id, "train/nll")]
    assert sorted(steps) == list(range(1, 13))
