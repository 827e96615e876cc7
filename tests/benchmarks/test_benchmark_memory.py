"""The memory benchmark runs and fills its table; its quick nets are too small for peaks of a process to be compared."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_quick_form_fills_its_table():
    ran = subprocess.run(
        [sys.executable, "benchmarks/memory.py", "--quick"],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in ran.stdout.splitlines() if "│" in line]
    assert [row[:2] for row in rows] == [[m, d] for m in ("plain", "torch", "checkpoint", "reversible") for d in "24"]
    cells = {(row[0], row[1]): [float(cell) for cell in row[2:]] for row in rows}
    for (mode, depth), (peak, _, slower, error) in cells.items():
        assert peak >= 0 and slower > 0
        assert error == 0.0 if mode == "plain" else error < 1e-4, (mode, depth)
