"""A training that a signal ends, as a process: the same command ends with the same weights and one run."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time

import pytest
import torch
from smoke_project import TASK, command, succeed, weights
from tracking_store import all_runs

from pipeline.experiment import Experiment
from pipeline.params import load_params
from pipeline.training.jobs import Job
from pipeline.training.train import train


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


def test_results_whose_asker_died_are_there_again_without_a_step(project, monkeypatch):
    """As of workers that outlive their driver: what they wrote is not known to DVC, which removes it."""
    monkeypatch.chdir(project)
    job = Job(project, Experiment.of(load_params(), TASK, 10, "affine"))
    train(job, lambda values: None, torch.device("cpu"))
    curve, expected = (job.folder / "training" / "curve.csv").read_bytes(), weights(project)
    shutil.rmtree(job.folder)
    succeed(project, "train")
    assert (job.folder / "training" / "curve.csv").read_bytes() == curve  # its seconds are the first ones
    found = weights(project)
    assert all(bool((expected[name] == found[name]).all()) for name in expected)
    client, runs = all_runs(project)
    assert [run.info.status for run in runs] == ["FINISHED"]
    steps = [point.step for point in client.get_metric_history(runs[0].info.run_id, "train/nll")]
    assert sorted(steps) == list(range(1, 13))
    assert not list(project.glob(".runs/*affine*/checkpoint*"))
