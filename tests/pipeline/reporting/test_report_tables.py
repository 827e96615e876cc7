"""The comparison as rows, as comparison.csv and in the terminal."""

import csv
import dataclasses
import io
import json

import pytest
from report_tree import BOTH, VARIANTS, Page, make_params, page_of, plain_photograph, write_variant
from rich.console import Console

from pipeline.config import Params
from pipeline.errors import DataError
from pipeline.kinds import KINDS
from pipeline.metrics import METRICS, metrics_of
from pipeline.reporting import tables
from pipeline.reporting.paper_figures import HUMAN_ERRORS, PAPER_TABLES
from pipeline.reporting.report import build_report
from pipeline.reporting.results import load_results
from pipeline.reporting.rows import ComparisonRow, over_seeds, show
from pipeline.reporting.tables import comparison, group_headings, paper_rows, print_summary, task_rows
from pipeline.reporting.wording import WORDING


def test_a_damaged_file_is_one_clear_line(root):
    (root / "artifacts" / "df2k_x4" / "seed10" / "affine" / "training" / "summary.json").write_text("{")
    with pytest.raises(DataError, match=r"summary.json is damaged.*run the same command again"):
        comparison(root, make_params())


def test_a_model_that_collapsed_is_named_in_its_row_and_in_the_page(root):
    path = root / "artifacts" / "df2k_x4" / "seed10" / "bounded" / "training" / "summary.json"
    assert "Collapsed in training" not in page_of(root)
    path.write_text(json.dumps({**json.loads(path.read_text()), "collapsed": True}))
    (row,) = (row for row in comparison(root, make_params()) if row.name == "collapsed")
    assert {variant: row.text(variant) for variant in VARIANTS} == {"affine": "no", "bounded": "yes", "rq_spline": "no"}
    assert "worth nothing beside the others: bounded (seed 10)." in page_of(root)


@pytest.mark.parametrize(
    ("better", "values", "best"),
    [
        ("higher", (1.0, 3.0, 2.0), {"bounded"}),
        ("lower", (1.0, 3.0, 1.0), {"affine", "rq_spline"}),
        ("lower", (2.0, 2.0, 2.0), set()),
        ("lower", (float("nan"), None, 2.0), set()),
        ("", (1.0, 2.0, 3.0), set()),
        ("higher", (25.0, 25.2, 20.0), set()),
        ("lower", (-4.5, -4.3, -4.0), {"affine"}),
    ],
)
def test_the_best_value_of_a_row(better, values, best):
    row = ComparisonRow("t", "g", "n", "title", "", better, dict(zip(VARIANTS, values, strict=True)))
    assert row.best == best


def test_comparison_csv_keeps_the_paper_apart(root):
    build_report(root, make_params())
    with (root / "report" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    errors = rows["errors_lr_psnr_45"]
    assert [errors[name] for name in (*VARIANTS, "baseline")] == ["10.0", "11.0", "12.0", "1.0"]
    assert [errors[name] for name in tables.PAPER_COLUMNS] == ["3 of 100", "2 of 100", "0 of 100"]
    assert rows["bad_pixels.bad_share_stress"]["rq_spline"] == "40.0" and rows["lpips"]["affine"] == ""
    assert set(metrics_of("draws")) <= set(rows) and "psnr_draws_mean_gain" not in rows
    assert errors["pictures"] == "demo pictures" and "brand_new.some_number" in rows


def test_paper_figures_stand_under_real_metrics():
    assert {name for table in PAPER_TABLES.values() for name in table.rows} <= {*METRICS, HUMAN_ERRORS}
    for task, table in PAPER_TABLES.items():
        kind = {1: "super_resolution", 2: "low_light"}[table.number]
        assert set(table.rows) <= {*metrics_of(KINDS[kind].aspect), HUMAN_ERRORS}, task
    assert all(set(words.main) & set(metrics_of(KINDS[kind].aspect)) for kind, words in WORDING.items())


def test_each_kind_has_its_own_columns_and_words(both):
    params = make_params(tasks=BOTH)
    rows = {(row.task, row.name): row for row in comparison(both, params)}
    assert ("df2k_x4", "lr_psnr_worst") in rows and ("lol", "lr_psnr_worst") not in rows
    assert ("lol", "psnr_draws_mean_gain") in rows and ("df2k_x4", "psnr_draws_mean_gain") not in rows
    text = Page(page_of(both, params)).text
    assert "lol : low-light enhancement" in text.replace("lol:", "lol :")
    assert "super-resolution, 4x" in text and "equalized histogram" in text and "bicubic" in text
    assert "latent's mean" in text and "mean of the draws" in text
    assert "0 pictures for training, 1 others held out" in text  # a pair is one picture


def test_the_papers_tables_stand_beside_ours(both):
    sr, low_light = load_results(both, make_params(tasks=BOTH))
    assert [row.name for row in paper_rows(sr, task_rows(sr))][:3] == ["errors_lr_psnr_45", "diversity", "lpips"]
    rows = {row.name or row.title: row for row in paper_rows(low_light, task_rows(low_light))}
    assert rows["psnr_draws_mean"].paper == ("20.54", "19.64", "21.01")
    people = rows[HUMAN_ERRORS]
    assert people.paper == ("5 of 15", "2 of 15", "0 of 15") and set(people.values.values()) == {None}
    assert rows["bad_pixels.bad_share_stress"].values["rq_spline"] == 40.0
    text = Page(page_of(both, make_params(tasks=BOTH))).text
    assert "Table 1" in text and "Table 2" in text and "20.54" in text and "25.19 dB" in text


def test_headings_say_how_it_was_measured(root):
    write_variant(
        root, "affine", 0, {f"cat-{i}": plain_photograph() for i in (1, 2, 3)} | {"a-b-1": plain_photograph()}
    )
    params = make_params()
    (results,) = load_results(root, params)
    settings = params.settings("df2k_x4")
    headings = group_headings(results)
    assert headings["Restored pictures"].startswith("4 held-out crops of 2 photographs")
    assert headings["Restored pictures"].endswith("4 draws of each at temperature 0.9")  # as samples.json says
    assert headings["Stability audit"].endswith(f"at temperature {settings.stability.temperature:g}")
    planned = load_results(root / "nowhere", params)[0]
    assert group_headings(planned)["Restored pictures"].endswith(f"at temperature {settings.sampling.temperature:g}")
    text = Page(page_of(root)).text
    assert all(f"{group}: {heading}" in text for group, heading in headings.items())
    assert "crops of 4 (2 photographs)" in text


def test_the_audits_reason_stands_in_the_cell(root):
    path = root / "artifacts" / "df2k_x4" / "seed10" / "affine" / "stability" / "summary.json"
    summary = json.loads(path.read_text())
    summary["analyses"]["feature_variance"] = {"largest_stress": None}
    summary["reasons"]["feature_variance.largest_stress"] = "not finite (5 of 8 inputs)"
    path.write_text(json.dumps(summary))
    row = next(row for row in comparison(root, make_params()) if row.name == "feature_variance.largest_stress")
    assert row.text("affine") == "not finite (5 of 8 inputs)" and row.text("bounded") == "–"


def test_numbers_of_a_row_have_the_same_digits():
    row = ComparisonRow("t", "g", "n", "title", "", "", {"a": 26.8, "b": 9.9812, "c": 0.0, "d": None}, baseline=27.456)
    assert [row.text(variant) for variant in "abcd"] == ["26.80", "9.98", "0", "–"] and row.baseline_text == "27.46"
    wide = ComparisonRow("t", "g", "n", "title", "", "", {"a": 2e30, "b": 1.25})
    assert [wide.text(variant) for variant in "ab"] == ["2e+30", "1.25"]


def test_no_bound_is_said_in_words(root):
    row = next(row for row in comparison(root, make_params()) if row.name == "certified_bound.value")
    assert [row.text(variant) for variant in VARIANTS] == ["no bound", "no bound", "12.5"]
    assert ">no bound</td>" in page_of(root)


def test_the_terminal_tables_fit_100_columns(both, monkeypatch):
    variants = (*VARIANTS, "certified_spline")
    for task in BOTH:
        write_variant(both, "certified_spline", 2, task=task)
    written = io.StringIO()
    monkeypatch.setattr(tables, "console", Console(file=written, width=200))
    print_summary(both, make_params(variants=variants, tasks=BOTH))
    lines = [line.rstrip() for line in written.getvalue().splitlines() if not line.startswith("report")]
    assert max(map(len, lines)) <= 100
    assert sum("certified_spline" in line for line in lines) == 2 and not any("…" in line for line in lines)


@pytest.fixture
def seven(root):
    """Return the root and the parameters of four variants, three of them with a shield."""
    write_variant(root, "certified_spline", 2)
    for name in VARIANTS:
        write_variant(root, f"{name}_shielded", 1)
    shields = {"shields": {name: {"quantile": 0.005} for name in VARIANTS}}
    params = make_params(variants=(*VARIANTS, "certified_spline")).model_dump(mode="json")
    return root, Params.model_validate(params | shields)


def table_of(of, width, monkeypatch):
    """Return the lines of the first table of a terminal: of the heads, and of the rest."""
    written = io.StringIO()
    monkeypatch.setattr(tables, "console", Console(file=written, width=width, soft_wrap=True))
    print_summary(*of)
    lines = written.getvalue().splitlines()
    lines = lines[1 : lines.index("")]
    assert max(map(len, lines)) <= width and not any("…" in line for line in lines)
    rule = next(index for index, line in enumerate(lines) if line.startswith("─"))
    return lines[:rule], lines[rule + 1 :]


def test_the_terminal_tables_of_seven_variants_fit_80_columns_without_a_broken_word(seven, monkeypatch):
    heads, rows = table_of(seven, 80, monkeypatch)
    assert [line.split() for line in heads[-2:]] == [
        ["rq", "certified", "affine", "bounded", "spline"],
        ["affine", "bounded", "spline", "spline", "shielded", "shielded", "shielded", "bicubic"],
    ]
    assert any(line.startswith("LPIPS ↓") for line in rows)
    words = {word for line in rows for word in line.split()}
    assert {"rq_", "spline", "affine", "bounded", "certified"} <= words


def test_a_narrow_table_hyphenates_a_verdict_that_is_too_long(seven, monkeypatch):
    for name in ("rq_spline", "certified_spline"):
        path = seven[0] / "artifacts" / "df2k_x4" / "seed10" / name / "stability" / "summary.json"
        summary = json.loads(path.read_text())
        path.write_text(json.dumps(summary | {"verdict": {"level": "borderline", "blind_level": "borderline"}}))
    _, rows = table_of(seven, 80, monkeypatch)
    words = [word for line in rows for word in line.split()]
    assert words.count("border-") == words.count("line") == 2 and "certified" in words


def test_in_a_narrower_terminal_the_names_of_rows_stay(seven, monkeypatch):
    _, rows = table_of(seven, 60, monkeypatch)
    assert any(line.startswith("LPIPS ↓") for line in rows)


def test_the_terminal_summary_ends_with_what_to_type_next(root, capsys):
    build_report(root, make_params())
    print_summary(root, make_params())
    out = capsys.readouterr().out
    assert all(variant in out for variant in VARIANTS) and "demo profile" in out
    assert str(root / "report" / "report.html") in out and "make ui" in out


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (12.0, "12"), (1234567.0, "1,234,567"), (0.11723, "0.1172"), (3e34, "3e+34"),
     (1.25e-6, "1.25e-06"), (float("nan"), "nan"), (float("inf"), "inf")],
)  # fmt: skip
def test_numbers_as_people_read_them(value, text):
    assert show(value) == text


def test_seeds_become_mean_and_spread(root):
    write_variant(root, "affine", 1, seed=11)
    write_variant(root, "bounded", 1, seed=11)
    params = make_params(seeds=(10, 11))
    rows = {row.name: row for row in comparison(root, params)}
    row = rows["errors_lr_psnr_45"]
    assert row.values == {"affine": 10.5, "bounded": 11.0, "rq_spline": 12.0}
    assert row.spread == {"affine": pytest.approx(0.5**0.5), "bounded": 0.0}  # rq_spline has run at one seed alone
    assert row.text("affine") == "10.50 ± 0.71" and row.text("bounded") == "11.00" and row.text("rq_spline") == "12.00"
    assert row.best == set()  # affine and bounded differ by less than affine's own spread
    assert rows["lpips"].values["affine"] is None and rows["lpips"].reasons["affine"] == "no weights for affine"
    text = Page(page_of(root, params)).text
    assert "rq_spline, seed 11: not yet run: train, sample, evaluate, stability" in text
    assert "standard deviation over the seeds 10, 11" in text and "10.50 ± 0.71" in text
    with (root / "report" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        written = {row["metric"]: row for row in csv.DictReader(file)}["errors_lr_psnr_45"]
    assert written["seeds"] == "10 11" and written["affine"] == "10.5" and written["rq_spline sd"] == ""


def test_a_value_undefined_at_one_seed_has_no_mean():
    one = ComparisonRow("t", "g", "n", "title", "", "lower", {"a": 1.0, "b": 2.0})
    other = ComparisonRow("t", "g", "n", "title", "", "lower", {"a": 3.0, "b": None}, reasons={"b": "not finite"})
    (row,) = over_seeds([[one], [other], [one]])
    assert row.values == {"a": pytest.approx(5 / 3), "b": None} and set(row.spread) == {"a"}
    assert row.reasons == {"b": "not finite, at 1 of 3 seeds"}
    assert row.text("a") == "1.667 ± 1.155" and row.text("b") == "–"


def test_no_value_of_a_single_seed_is_the_best():
    lower = ComparisonRow("t", "g", "n", "title", "", "lower", {"a": 1.0, "b": 2.0}, spread={"b": 0.1})
    assert lower.best == set() and dataclasses.replace(lower, spread={"a": 0.1, "b": 0.1}).best == {"a"}
