"""Verdicts in the comparison, and how often those made without stress inputs agree with these."""

import csv
import io

import pytest
from report_tree import Page, make_params, page_of, write_variant
from rich.console import Console

from pipeline.files import read_json, write_json
from pipeline.reporting import tables
from pipeline.reporting.results import load_results
from pipeline.reporting.rows import ComparisonRow, over_seeds
from pipeline.reporting.tables import print_summary
from pipeline.reporting.verdicts import agreement


def judge(root, variant, level, blind, share, nonfinite=0.0, largest=1.0, seed=10):
    """Write a verdict and what stress inputs showed into a variant's audit."""
    path = root / "artifacts" / "df2k_x4" / f"seed{seed}" / variant / "stability" / "summary.json"
    summary = read_json(path)
    bad = {"bad_share_stress": share, "nonfinite_share_stress": nonfinite, "largest_stress": largest}
    summary["analyses"]["bad_pixels"] |= bad
    verdict = {"level": level, "blind_level": blind, "why": [], "layers": [], "inputs": [], "advice": []}
    write_json(path, {**summary, "verdict": verdict})


@pytest.fixture
def judged(root):
    judge(root, "affine", "will explode", "will explode", 0.4, nonfinite=0.2, largest=1e30)
    judge(root, "bounded", "will explode", "borderline", 0.005, largest=40.0)
    judge(root, "rq_spline", "borderline", "borderline", 0.02, largest=3.0)
    return root


def test_agreement_is_counted_by_size_and_by_share(judged):
    found = agreement(load_results(judged, make_params()))
    # by size bounded disagrees (40 > 10, yet borderline); by share rq_spline does (2 %, yet borderline)
    assert (found.models, found.by_size, found.by_share) == (3, 2, 2)


def test_audits_without_a_verdict_are_not_counted(root):
    assert agreement(load_results(root, make_params())) is None


def test_the_page_and_the_table_show_verdicts(judged):
    text = Page(page_of(judged)).text
    assert "Verdict will explode will explode borderline" in text
    assert "those made without stress inputs agree with these in 2 of 3 models" in text
    with (judged / "report" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["metric"] == "verdict.level"]
    assert (row["affine"], row["rq_spline"], row["baseline"]) == ("will explode", "borderline", "")


def test_seeds_that_differ_are_all_told():
    def row(word):
        return ComparisonRow("t", "g", "n", "Verdict", "", "", {"a": None}, words={"a": word} if word else {})

    (same,) = over_seeds([[row("safe")], [row("safe")], [row("")]])
    (differ,) = over_seeds([[row("safe")], [row("will explode")], [row("will explode")]])
    assert same.text("a") == "safe" and differ.text("a") == "will explode (2), safe (1)"


def test_the_terminal_tells_verdicts_of_all_seeds(judged, monkeypatch):
    params = make_params(seeds=(10, 11))
    write_variant(judged, "affine", 0, seed=11)
    judge(judged, "affine", "safe", "safe", 0.0, seed=11)
    shown = io.StringIO()
    monkeypatch.setattr(tables, "console", Console(file=shown, width=120))
    monkeypatch.setattr(tables, "say", lambda text: print(text, file=shown))
    print_summary(judged, params)
    assert "will explode (1), safe (1)" in shown.getvalue()
    assert "agree with these in 3 of 4 models" in shown.getvalue()
