"""The ablation trains its variants by the project's own stages and goes on after the last row; on the smoke profile."""

import csv
import os
import subprocess
import sys

import pytest
from ablation import ANALYSES, COLUMNS, FREE, SURVIVAL, VARIANTS, experiment_of
from smoke_project import ROOT, TASK, edit_params, make_project, succeed

from models.flow.transforms import CertifiedSpline
from pipeline.params import load_params
from pipeline.stability.analyses import chosen


def test_each_variant_is_the_certified_spline_with_one_of_its_bounds_or_both():
    params = load_params()
    made = {
        name: CertifiedSpline(**experiment_of(params, "lol", "9", "10", name, "1", "on").design.options)
        for name in (*VARIANTS, "certified_spline")
    }
    shift, slopes, both = made.values()
    assert both == CertifiedSpline(**params.variants["certified_spline"].options)
    assert shift.derivative_bounds() == (1 / FREE, FREE) and shift.displacement_bound() < 1.3
    assert slopes.derivative_bounds() == both.derivative_bounds() and slopes.displacement_bound() > 1e5
    assert len(chosen(ANALYSES)) == len(ANALYSES)


def test_a_row_is_trained_at_its_rate_and_length_with_or_without_what_keeps_it_alive():
    params = load_params()
    alive, bare, clipped = (
        experiment_of(params, "df2k_x4", "7000", "12", "rq_spline", "2", survival) for survival in SURVIVAL
    )
    for one in (alive, bare, clipped):
        training = one.settings.training
        assert (training.steps, training.learning_rate, one.seed) == (7000, pytest.approx(4e-3), 12)
        assert one.variant == one.design.transform.replace("rational_quadratic", "rq")
    assert alive.settings.training.recovery and alive.settings.training.clip_spikes
    assert (bare.settings.training.recovery, bare.settings.training.clip_spikes) == (None, None)
    assert clipped.settings.training.recovery is None
    assert clipped.settings.training.clip_spikes == alive.settings.training.clip_spikes


@pytest.mark.slow
def test_it_measures_what_it_trains_and_does_not_do_so_twice(tmp_path):
    project = make_project(tmp_path / "project")
    edit_params(project, lambda params: params["runtime"].update(tracking_uri="auto"))
    succeed(project, "prepare", None)
    before = sorted(project.rglob("*"))
    command = [sys.executable, "benchmarks/ablation.py", "--project", str(project), "--out", str(tmp_path / "out")]
    command += ["--tasks", TASK, "--steps", "2", "--variants", "certified_spline,affine"]
    said = []
    for _ in range(2):
        ran = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True
        )
        said.append([line for line in ran.stdout.splitlines() if "2 steps, seed 10, rate times" in line])
    with (tmp_path / "out" / "ablation.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["certified_spline", "affine"] and list(rows[0]) == list(COLUMNS)
    both, affine = rows
    assert float(both["certified_value"]) > float(both["attacked_largest"]) > 0 and affine["certified_value"] == ""
    assert all((row["end"], row["returns"]) == ("well", "0") for row in rows)
    assert said[0] == said[1] and len(said[1]) == 2
    assert sorted(project.rglob("*")) == before  # nothing was written to the project
