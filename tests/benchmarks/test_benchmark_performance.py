"""The performance benchmark runs in its smallest form, its peer's arm included; what it counts is what is there."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# one convolution of 3 x 32 x 32: what a peer's loss may be
PEER = """
import torch
class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3)
    def forward(self, hr, lr):
        assert hr.shape[2] == 4 * lr.shape[2]
        return self.conv(hr).square().mean()
def make(scale, spline):
    return Loss()
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@pytest.mark.slow
def test_the_quick_table_has_every_arm(tmp_path):
    peer = tmp_path / "peer.py"
    peer.write_text(PEER, encoding="utf-8")
    run("benchmarks/performance.py", "--quick", "--scales", "4", "--peer", str(peer), "--out", str(tmp_path))
    rows = list(csv.DictReader((tmp_path / "performance.csv").read_text(encoding="utf-8").splitlines()))
    arms = {group: [row["arm"] for row in rows if row["group"] == group] for group in {row["group"] for row in rows}}
    assert {"spline, peer", "affine, peer", "spline, plain form", "certified"} <= set(arms["training step 4x"])
    flops = {row["arm"]: float(row["GFLOP"]) for row in rows if row["group"] == "draw 10 4x"}
    assert flops["spline"] < flops["spline, plain form"]  # sub-pixel convolutions do less
    assert all(float(row["ratio"]) > 0 for row in rows)


@pytest.mark.slow
def test_the_growth_of_cost_is_measured_and_drawn(tmp_path):
    run("benchmarks/growth.py", "--quick", "--out", str(tmp_path))
    rows = list(csv.DictReader((tmp_path / "growth.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["what"] for row in rows} == {"picture size", "draws", "steps per level", "batch"}
    assert (tmp_path / "growth.png").stat().st_size > 1000


def test_a_paper_scale_job_is_computed_from_what_was_measured():
    """By hand: 16 pictures on 4 GPUs of 10 s a picture are 40 s a step; 180,000 of them are 83 days."""
    said = run("benchmarks/paper_job.py", "--step", "10", "--peak", "2", "--fixed", "0.8", "--speedup", "1",
               "--every", "1e9", "--gpus", "1,4")  # fmt: skip
    row = next(line.split() for line in said.splitlines() if line.split()[:1] == ["4"])
    assert row[1] == "4" and float(row[2].replace(",", "")) == pytest.approx(180_000 * 40 / 86_400, rel=0.01)
