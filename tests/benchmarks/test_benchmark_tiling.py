"""The benchmark of tiles runs and fills its tables; a wider halo leaves a smaller error."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from small_flow import small_flow

from pipeline.model_folder import save_model

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_quick_form_fills_its_tables(tmp_path):
    flow = small_flow()
    with torch.no_grad():
        for parameter in flow.network.encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_model(tmp_path / "task" / "seed10" / "affine" / "model", flow.network, flow.config)
    ran = subprocess.run(
        [sys.executable, "benchmarks/tiling.py", "--quick", tmp_path / "task" / "seed10" / "affine" / "model"],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    halos, *sizes = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in ran.stdout.splitlines() if "│" in line
    ]
    assert halos[0] == "task/seed10/affine"
    errors = [float(cell.split(" / ")[0]) for cell in halos[1:]]
    assert errors[0] > errors[1] > errors[2]
    assert [row[0] for row in sizes] == ["0.02", "0.04"]
    assert all(float(row[1]) > 100 and float(row[2]) >= 0 and row[4] == "whole" for row in sizes), sizes
