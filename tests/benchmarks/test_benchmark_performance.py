"""The performance benchmark runs in its smallest form, its peer's arm included; what it counts is what is there."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
MISSING = "ModuleNotFoundError: No module named 'models.modules'"
# What stands in for a published network: its interface, and one convolution.
PEER = """
import torch
class NCSRNet(torch.nn.Module):
    def __init__(self, in_nc, out_nc, nf, nb, scale, K, opt):
        super().__init__()
        assert opt["network_G"]["flow"]["coupling"] in ("CondAffineSeparatedAndCond", "CondRQsplineSeparatedAndCond")
        print("such code prints")
        self.conv, self.scale = torch.nn.Conv2d(3, 3, 3, padding=1), scale
    def forward(self, gt=None, lr=None, z=None, eps_std=None, reverse=False, std=None, add_gt_noise=True):
        if reverse:
            assert z.shape == (1, 3, self.scale * lr.shape[2], self.scale * lr.shape[3])
            return self.conv(z), None
        z = self.conv(gt)
        return z, z.square().mean(dim=(1, 2, 3)), None
"""
OPTIONS = "network_G: {in_nc: 3, out_nc: 3, nf: 4, nb: 1, flow: {K: 1, coupling: none}}"


def checkout(folder):
    """Return a folder laid out as the published code."""
    code = folder / "models" / "modules"
    code.mkdir(parents=True)
    for package in (code.parent, code):
        (package / "__init__.py").touch()
    (code / "NCSRNet_arch.py").write_text(PEER, encoding="utf-8")
    (folder / "confs").mkdir()
    (folder / "confs" / "4X.yml").write_text(OPTIONS, encoding="utf-8")
    return folder


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY, env=ENVIRONMENT,
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@pytest.mark.slow
def test_the_quick_table_has_every_arm(tmp_path):
    peer, out = checkout(tmp_path / "peer"), tmp_path / "out"
    run("benchmarks/performance.py", "--quick", "--scales", "4", "--peer", str(peer), "--out", str(out))
    rows = list(csv.DictReader((out / "performance.csv").read_text(encoding="utf-8").splitlines()))
    arms = {group: [row["arm"] for row in rows if row["group"] == group] for group in {row["group"] for row in rows}}
    published = {"spline, published", "affine, published"}
    for group in ("training step 4x", "encode 4x", "draw 1 4x", "draw 10 4x", "peak of a step 4x"):
        assert published | {"spline, plain form", "certified"} <= set(arms[group])
    flops = {row["arm"]: float(row["GFLOP"]) for row in rows if row["group"] == "draw 10 4x"}
    assert flops["spline"] < flops["spline, plain form"]  # sub-pixel convolutions do less
    assert all(float(row["ratio"]) > 0 for row in rows)


def said_of(peer):
    line = [sys.executable, "benchmarks/performance.py", "--quick", "--groups", "training", "--peer", str(peer)]
    found = subprocess.run(line, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    return found.stderr.splitlines()[-1]


def test_a_checkout_without_the_code_is_said_in_a_line(tmp_path):
    (tmp_path / "confs").mkdir()
    (tmp_path / "confs" / "4X.yml").write_text(OPTIONS, encoding="utf-8")
    assert said_of(tmp_path) == "error: --peer: its code does not run here: " + MISSING


def test_what_is_no_checkout_is_said_in_a_line(tmp_path):
    assert said_of(tmp_path / "none").endswith("none is no checkout of robustNF or FS-NCSR: it has no confs/4X.yml")


@pytest.mark.slow
def test_where_the_time_goes_has_every_row(tmp_path):
    run("benchmarks/where.py", "--quick", "--scales", "4", "--out", str(tmp_path))
    rows = list(csv.DictReader((tmp_path / "where.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["what"] for row in rows] == 2 * ["step 4x", "encode 4x", "ten draws 4x"]
    for row in rows:
        shares = {name: float(value) for name, value in row.items() if name.endswith("%")}
        assert shares["convolutions, %"] > 0.0 and shares["1x1 of the flow, %"] > 0.0 and shares["rest, %"] > 0.0
        assert (shares["splines, %"] > 0.0) == (row["arm"] == "spline")
        assert (shares["convolutions, backward, %"] > 0.0) == (row["what"] == "step 4x")


@pytest.mark.slow
def test_the_growth_of_cost_is_measured_and_drawn(tmp_path):
    run("benchmarks/growth.py", "--quick", "--out", str(tmp_path))
    rows = list(csv.DictReader((tmp_path / "growth.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["what"] for row in rows} == {
        "picture size",
        "picture size, one draw",
        "draws",
        "steps per level",
        "batch",
    }
    assert (tmp_path / "growth.png").stat().st_size > 1000


def test_a_paper_scale_job_is_computed_from_what_was_measured():
    """By hand: 16 pictures on 4 GPUs of 10 s a picture are 40 s a step; 180,000 of them are 83 days."""
    said = run("benchmarks/paper_job.py", "--step", "10", "--peak", "2", "--fixed", "0.8", "--speedup", "1",
               "--every", "1e9", "--gpus", "1,4")  # fmt: skip
    row = next(line.split() for line in said.splitlines() if line.split()[:1] == ["4"])
    assert row[1] == "4" and float(row[2].replace(",", "")) == pytest.approx(180_000 * 40 / 86_400, rel=0.01)
