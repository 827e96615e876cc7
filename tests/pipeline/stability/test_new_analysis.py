"""What it takes to add an analysis: one file and its entry in ANALYSES; everything else takes it from there."""

import csv
import importlib.util

import pytest
from report_tree import Page, make_params, page_of
from small_flow import small_audit, small_flow

from pipeline.errors import DataError
from pipeline.reporting.tables import comparison
from pipeline.stability.analyses import ANALYSES

FILE = '''
"""How much brighter draws are than half of the range."""

import dataclasses
from typing import ClassVar

import torch

from pipeline.stability.contract import Analysis, Curves, Found, Number


@dataclasses.dataclass(frozen=True)
class Brightness(Analysis):
    name: ClassVar = "brightness"
    title: ClassVar = "Brightness of draws"
    cost: ClassVar = "minutes"
    numbers: ClassVar = {"excess": Number("Excess brightness", "% of the range", "lower", 100.0)}
    tables: ClassVar = {"brightness.csv": ("draw", "mean", "input", "sort")}
    plots: ClassVar = (
        Curves(
            name="brightness",
            caption="A line per input.",
            alt="Brightness of every draw",
            table="brightness.csv",
            x="draw",
            y="mean",
            line="input",
            group="sort",
            x_title="draw",
            y_title="mean of the values",
        ),
    )
    half: float = 0.5

    @torch.no_grad()
    def run(self, subject):
        rows = []
        for condition, kind, name, seen in subject.inputs():
            padded, shared = subject.condition(seen)
            images, _ = subject.network.inverse(subject.latents(padded, name), shared)
            means = images.abs().mean((1, 2, 3)).tolist()
            rows += [{"draw": i, "mean": mean, "input": name, "sort": kind} for i, mean in enumerate(means)]
        brightest = max(row["mean"] for row in rows)
        return Found({"excess": brightest - self.half}, tables={"brightness.csv": rows}, said="looked at draws")
'''


@pytest.fixture
def brightness(tmp_path_factory, monkeypatch):
    """Return the analysis of a new file after its entry in ANALYSES."""
    path = tmp_path_factory.mktemp("new") / "brightness.py"
    path.write_text(FILE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("brightness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(ANALYSES, "brightness", module.Brightness)
    return module.Brightness


@pytest.fixture
def audited(root, brightness):
    """Return the reports' tree, one variant of which has been audited by the new analysis as well."""
    folder = root / "artifacts" / "df2k_x4" / "seed10" / "affine" / "stability"
    small_audit(folder, small_flow(), {"bad_pixels": {}, "brightness": {"half": 0.25}})
    return root


def test_the_audit_takes_it(audited, capsys):
    folder = audited / "artifacts" / "df2k_x4" / "seed10" / "affine" / "stability"
    with (folder / "brightness.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["draw", "mean", "input", "sort"] and {"cat", "saturated_1"} <= {
        row["input"] for row in rows
    }


def test_the_audit_says_what_it_costs_and_what_it_found(root, brightness, capsys):
    small_audit(root / "audit", small_flow(), {"brightness": {}})
    assert capsys.readouterr().out.splitlines()[:3] == [
        "Brightness of draws: some minutes",
        "df2k_x4 affine: looked at draws",
        "verdict: borderline",
    ]


def test_the_comparison_takes_it(audited):
    row = next(row for row in comparison(audited, make_params()) if row.name == "brightness.excess")
    with (audited / "artifacts/df2k_x4/seed10/affine/stability/brightness.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        brightest = max(float(line["mean"]) for line in csv.DictReader(file))
    assert row.values == {"affine": pytest.approx(100 * (brightest - 0.25)), "bounded": None, "rq_spline": None}
    assert (row.title, row.unit, row.better) == ("Excess brightness", "% of the range", "lower")


def test_the_page_and_the_table_take_it(audited):
    text = page_of(audited)
    assert "Excess brightness [% of the range] ↓" in Page(text).text
    assert '<h3 id="df2k_x4-brightness">Brightness of draws</h3>' in text
    assert '<a href="#df2k_x4-brightness">brightness of draws</a>' in text
    assert 'alt="Brightness of every draw"' in text and "A line per input." in text
    assert (audited / "report" / "figures" / "df2k_x4_brightness.png").is_file()
    with (audited / "report" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["metric"] == "brightness.excess"]
    assert row["title"] == "Excess brightness" and row["affine"] and not row["bounded"]


def test_a_table_of_an_older_audit_is_one_clear_line(audited):
    (audited / "artifacts/df2k_x4/seed10/affine/stability/brightness.csv").write_text("draw,mean\n0,0.5\n")
    with pytest.raises(DataError, match=r"brightness.csv has no column 'input'; run the stability stage again"):
        comparison(audited, make_params())
