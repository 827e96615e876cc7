"""The loading benchmark runs and prints what it promises; how fast anything is, is not a test's matter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_quick_form_prints_every_table():
    ran = subprocess.run(
        [sys.executable, "benchmarks/loading.py", "--quick"],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in ran.stdout.splitlines() if "│" in line]
    rates = {row[0]: row for row in rows if len(row) == 4}
    assert set(rates) == {"1", "2", "a thread"}
    for workers in ("1", "2"):
        published, ours, ratio = (float(re.match(r"[\d.,]+", cell)[0].replace(",", "")) for cell in rates[workers][1:])
        assert min(published, ours) > 0
        assert abs(ratio - ours / published) < 1
    assert [row[:2] for row in rows if len(row) == 6] == [["10", "same"], ["10", "own"]]
