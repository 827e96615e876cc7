"""The stages as DVC runs them, at the smoke profile: whole runs, interruptions, two workers, wrong use."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file, save_file
from smoke_project import TASK, command, copy_project, curve, edit_params, fail, make_project, run, succeed, weights

FOLDERS = ("affine_shielded", "affine")


def test_every_stage_runs_and_says_where_its_results_are(trained):
    assert "2 draws in artifacts" in succeed(trained, "sample")
    assert "lr_psnr_worst" in succeed(trained, "evaluate")
    audited = succeed(trained, "stability")
    assert "on stress inputs" in audited and "patches of training pictures" in audited and "\nverdict: " in audited
    done = subprocess.run(
        [sys.executable, "-m", "stages.report"], cwd=trained, capture_output=True, text=True, check=True
    )
    assert "report.html" in done.stdout
    folder = trained / "artifacts" / TASK / "seed10" / "affine"
    samples = json.loads((folder / "samples" / "samples.json").read_text())
    assert [len(picture["draws"]) for picture in samples["pictures"]] == [2, 2, 2]
    assert json.loads((folder / "evaluation" / "metrics.json").read_text())["metrics"]["lr_psnr_mean"] > 0
    judged = json.loads((folder / "stability" / "summary.json").read_text())
    audit = judged["analyses"]
    assert mlflow_run(trained).data.tags["steadyflow.verdict"] == judged["verdict"]["level"]
    assert audit["reconstruction"]["image_max_abs"] < 1e-3
    assert audit["feature_variance"]["largest_in_distribution"] > 0
    summary = json.loads((folder / "training" / "summary.json").read_text())
    assert summary["steps"] == 12 and summary["skipped_steps"] == 0


def test_a_shield_is_a_variant_of_its_own_without_a_training(trained, tmp_path):
    project = copy_project(trained, tmp_path)
    assert "is not trained" in fail(project, "train", "affine_shielded")
    assert "has no shield" in fail(project, "shield", "affine")
    assert "calibrated on" in succeed(project, "shield", "affine_shielded")
    for stage in ("sample", "evaluate", "stability"):
        succeed(project, stage, "affine_shielded")
    folder = project / "artifacts" / TASK / "seed10"
    own, inside = (json.loads((folder / name / "model" / "config.json").read_text()) for name in FOLDERS)
    assert own["shield"]["quantile"] == 0.01 and inside["shield"] is None
    tracked = mlflow_run(project, "affine_shielded").data
    assert tracked.tags["steadyflow.run_key"] == own["run_key"] != inside["run_key"]
    assert tracked.params["shield.run_key"] == inside["run_key"]
    assert tracked.metrics["shield/quantile"] == 0.01
    subprocess.run([sys.executable, "-m", "stages.report"], cwd=project, capture_output=True, check=True)
    with (project / "report" / "comparison.csv").open() as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert float(rows["steps"]["affine"]) == 12 and rows["steps"]["affine_shielded"] == ""
    assert rows["psnr"]["affine_shielded"] != ""
    page = (project / "report" / "report.html").read_text()
    assert "affine_shielded: not yet run" not in page and ">as affine</td>" in page


def mlflow_run(project, variant="affine"):
    """Return the run of a variant."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = [run for e in client.search_experiments() for run in client.search_runs([e.experiment_id])]
    (flow,) = [run for run in runs if run.data.tags.get("steadyflow.variant") == variant]
    return flow


def test_one_run_in_mlflow_holds_all_stages(trained):
    from mlflow import MlflowClient

    client, flow = MlflowClient(f"sqlite:///{trained / 'mlflow.db'}"), mlflow_run(trained)
    assert flow.info.status == "FINISHED"
    assert len(client.get_metric_history(flow.info.run_id, "train/nll")) == 12


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
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = [run for e in client.search_experiments() for run in client.search_runs([e.experiment_id])]
    assert [run.info.status for run in runs] == ["FINISHED"]
    steps = [point.step for point in client.get_metric_history(runs[0].info.run_id, "train/nll")]
    assert sorted(steps) == list(range(1, 13))


def test_two_workers_give_the_losses_of_one(project, trained):
    """Same global batch over two DDP workers through Ray: equal up to the order of float32 sums."""
    edit_params(project, lambda params: params["runtime"].update(workers=2, device="cpu"))
    succeed(project, "train")
    one, two = curve(trained), curve(project)
    assert len(one) == len(two) == 12
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 2e-3
    for name, tensor in weights(trained).items():
        assert (tensor.float() - weights(project)[name].float()).abs().max() < 5e-3, name


def test_a_finished_run_is_trained_anew_when_asked_again(project):
    succeed(project, "train")
    first = weights(project)
    model = project / "artifacts" / TASK / "seed10" / "affine" / "model" / "weights.safetensors"
    model.unlink()
    succeed(project, "train")
    assert all(bool((first[name] == tensor).all()) for name, tensor in weights(project).items())


def test_another_seed_is_another_run_beside_the_first(project, trained):
    for stage, variant in (("pretrain", None), ("train", "affine")):
        arguments = {"cwd": project, "capture_output": True, "text": True}
        refused = subprocess.run(command(stage, variant, seed=11), check=False, **arguments)
        assert refused.returncode == 2 and "seed 11 is none of seeds [10]" in refused.stderr
        edit_params(project, lambda params: params.update(seeds=[10, 11]))
        done = subprocess.run(command(stage, variant, seed=11), check=False, **arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        edit_params(project, lambda params: params.update(seeds=[10]))
    folder = project / "artifacts" / TASK / "seed11"
    assert not (project / "artifacts" / TASK / "seed10" / "affine").exists()
    assert json.loads((folder / "affine" / "model" / "config.json").read_text())["seed"] == 11
    other = load_file(folder / "affine" / "model" / "weights.safetensors")
    trunk = "encoder.first.weight"
    encoder = load_file(folder / "encoder" / "weights.safetensors")
    assert all(name in other for name in weights(trained)) and trunk in other, list(other)[:5]
    assert not bool((other[trunk] == weights(trained)[trunk]).any())
    assert (other[trunk] - encoder["first.weight"]).abs().max() < 0.05  # it started from its own seed's encoder


def test_a_dead_tracking_server_delays_logging_and_loses_nothing(project):
    edit_params(project, lambda params: params["runtime"].update(tracking_uri="http://127.0.0.1:9"))
    done = run(project, "train")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("warning: ")]) == 1
    edit_params(project, lambda params: params["runtime"].update(tracking_uri="auto"))
    succeed(project, "sample")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = [run for e in client.search_experiments() for run in client.search_runs([e.experiment_id])]
    assert len(client.get_metric_history(runs[0].info.run_id, "train/nll")) == 12


MAD = {"learning_rate": 1e6, "recovery": None}


def test_a_training_that_explodes_says_so(project):
    edit_params(project, lambda params: params["profiles"]["smoke"][TASK]["training"].update(MAD))
    assert "non-finite loss or gradient" in fail(project, "train")


def test_unknown_names_teach(project):
    assert "did you mean 'affine'" in fail(project, "train", "afine")
    edit_params(project, lambda params: params["runtime"].update(wrokers=2))
    assert "did you mean 'workers'" in fail(project, "train")


def test_missing_inputs_name_the_stage_to_run(tmp_path):
    make_project(tmp_path)
    assert f"steadyflow repro prepare@{TASK}" in fail(tmp_path, "train")


def test_a_missing_source_folder_is_named(tmp_path):
    make_project(tmp_path)
    edit_params(tmp_path, lambda params: params["datasets"]["df2k"].update(source="no/such/folder"))
    assert "datasets.df2k.source" in fail(tmp_path, "prepare", None)


def test_a_model_of_another_variant_is_refused(trained, project):
    source = trained / "artifacts" / TASK / "seed10" / "affine" / "model"
    shutil.copytree(source, project / "artifacts" / TASK / "seed10" / "bounded" / "model")
    assert "variant 'affine', but 'bounded' was asked for" in fail(project, "sample", "bounded")


def test_weights_of_another_network_are_refused(trained, project):
    model = project / "artifacts" / TASK / "seed10" / "affine" / "model"
    shutil.copytree(trained / "artifacts" / TASK / "seed10" / "affine" / "model", model)
    config = json.loads((model / "config.json").read_text())
    config["transform"] = {"name": "rational_quadratic_spline", "options": {}}
    (model / "config.json").write_text(json.dumps(config))
    assert "was trained as" in fail(project, "sample")
    save_file(load_file(model / "weights.safetensors"), model / "weights.safetensors")  # without its identity
    line = fail(project, "sample")
    assert "another network" in line and "shape" in line
    (model / "weights.safetensors").write_bytes(b"\0" * 100)
    assert "cannot be read" in fail(project, "sample")


def test_a_full_disk_is_one_line(project, monkeypatch, capsys):
    from pipeline.console import run_main

    def full():
        raise OSError(28, "No space left on device", str(project / "weights"))

    with pytest.raises(SystemExit) as stopped:
        run_main(full)
    assert stopped.value.code == 2
    assert "no disk space left" in capsys.readouterr().err
