"""What counts as the same outcome of two runs: bytes, or all but what was measured by a clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CURVE = "step,nll,seconds\n1,-2.5,{}\n"


@pytest.fixture
def runs(tmp_path):
    for name, seconds in (("one", 1.5), ("other", 2.5)):
        folder = tmp_path / name / "task"
        folder.mkdir(parents=True)
        (folder / "curve.csv").write_text(CURVE.format(seconds))
        (folder / "summary.json").write_text(json.dumps({"nll": -2.5, "runs": [{"minutes": seconds}]}))
        (folder / "weights.bin").write_bytes(b"\x00\xff")
    return tmp_path


def said(runs):
    line = [sys.executable, "benchmarks/same.py", runs / "one", runs / "other"]
    found = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return found.returncode, found.stdout.splitlines()


def test_measured_times_are_no_difference(runs):
    assert said(runs) == (0, ["3 files: 1 equal to the byte, 2 but for measured times, 0 not"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("task/curve.csv", CURVE.format(2.5).replace("-2.5", "-2.6")),
        ("task/summary.json", '{"nll": -2.5, "runs": []}'),
        ("task/summary.json", '{"nll": true, "runs": [{"minutes": 1}]}'),
        ("task/curve.csv", "step,nll\n1,-2.5\n"),
        ("task/curve.csv", CURVE.format(2.5) + "2,-2.5,3.5,more\n"),
        ("task/weights.bin", "other"),
    ],
)
def test_all_else_is(runs, name, content):
    (runs / "other" / name).write_text(content)
    code, lines = said(runs)
    assert code == 1 and lines[0] == f"{name}: differs" and lines[-1].endswith("1 not")


@pytest.mark.parametrize("side", ["one", "other"])
def test_what_is_missing_is_named(runs, side):
    (runs / side / "task" / "weights.bin").unlink()
    code, lines = said(runs)
    assert code == 1 and lines[0].startswith("task/weights.bin: missing in") and lines[0].endswith(f"{side}/task")


def test_nothing_is_not_the_same(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    assert said(tmp_path)[0] == 1
