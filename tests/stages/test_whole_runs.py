"""Every stage as DVC runs it, at the smoke profile: what it makes, and what MLflow holds of it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

from smoke_project import ROOT, TASK, copy_project, fail, succeed
from tracking_store import all_runs

from pipeline.params import load_params

FOLDERS = ("affine_shielded", "affine")
QUANTILE = load_params(ROOT / "params.yaml").shields["affine"].quantile


def mlflow_run(project, variant="affine"):
    """Return the run of a variant."""
    (flow,) = [run for run in all_runs(project)[1] if run.data.tags.get("steadyflow.variant") == variant]
    return flow


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
    assert own["shield"]["quantile"] == QUANTILE and inside["shield"] is None
    tracked = mlflow_run(project, "affine_shielded").data
    assert tracked.tags["steadyflow.run_key"] == own["run_key"] != inside["run_key"]
    assert tracked.params["shield.run_key"] == inside["run_key"]
    assert tracked.metrics["shield/quantile"] == QUANTILE
    assert tracked.metrics.get("shield/good_draw") == own["shield"]["good_draw"]
    subprocess.run([sys.executable, "-m", "stages.report"], cwd=project, capture_output=True, check=True)
    with (project / "report" / "comparison.csv").open() as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert float(rows["steps"]["affine"]) == 12 and rows["steps"]["affine_shielded"] == ""
    assert rows["psnr"]["affine_shielded"] != ""
    page = (project / "report" / "report.html").read_text()
    assert "affine_shielded: not yet run" not in page and ">as affine</td>" in page


def test_one_run_in_mlflow_holds_all_stages(trained):
    (client, _), flow = all_runs(trained), mlflow_run(trained)
    assert flow.info.status == "FINISHED"
    assert len(client.get_metric_history(flow.info.run_id, "train/nll")) == 12
