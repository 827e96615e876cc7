"""The report and its pictures, from a small tree of artifacts written by hand."""

import base64
import contextlib
import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from report_tree import BOTH, HOSTILE, VARIANTS, Page, make_params, page_of, plain_photograph, write_png, write_variant

from pipeline.errors import DataError
from pipeline.metrics.samples import load_samples
from pipeline.reporting import figures, plots
from pipeline.reporting.grid import sample_grid, write_grid
from pipeline.reporting.pictures import difference_map, photographs, stress_pictures
from pipeline.reporting.pixels import jpeg
from pipeline.reporting.report import build_report
from pipeline.reporting.results import load_results
from pipeline.reporting.tables import comparison, print_summary
from pipeline.reporting.view import task_view
from pipeline.stability.analyses.feature_variance import FeatureVariance


def test_the_page_needs_nothing_but_itself(root):
    text = page_of(root)
    page = Page(text)
    assert page.open == []
    assert page.addresses and all(re.match(r"data:image/(png|jpeg);base64,|#", address) for address in page.addresses)
    assert "script" not in page.tags and "link" not in page.tags and "@import" not in text and "url(" not in text
    assert len(text) < 15_000_000


def test_the_page_shows_every_section(root):
    text = Page(page_of(root)).text
    for part in (
        "Comparison",
        "Held-out pictures",
        "Training",
        "Variance of the features",
        "Stress inputs",
        "Glossary",
        "References",
        "On the Robustness of Normalizing Flows for Inverse Problems in Imaging",
    ):
        assert part in text
    assert "1 pictures for training, 1 others held out" in text and "A note." in text
    assert "where 4 draws differ" in text and "Hong et al., ICCV 2023, Table 1, DIV2K 4x" in text and "3 of 100" in text
    assert "not yet run" not in text


def test_every_figure_of_ours_is_labelled_with_the_profile(root):
    text = page_of(root)
    sections = re.findall(r'<section id="(?:paper|df2k_x4)">.*?</section>', text, re.DOTALL)
    badge = '<span class="badge">demo profile</span>'
    assert [section.count(badge) for section in sections] == [1, 1]
    assert all(badge in section[: section.index("</h2>")] for section in sections)
    for variant in VARIANTS:
        write_variant(root, variant, 1, profile="paper")
    assert "demo profile" not in page_of(root, make_params("paper"))


def test_a_hostile_picture_name_stays_text(root):
    write_variant(root, "affine", 0, {HOSTILE: plain_photograph()})
    text = page_of(root)
    assert "<script>" not in text and HOSTILE in Page(text).text


def test_a_hostile_variant_and_reason_stay_text(root):
    write_variant(root, "evil<b>", 1)
    params = make_params(variants=("affine", "bounded"))  # params.yaml refuses such a name; the page relies on nobody
    hostile = {"affine": params.variants["affine"], "evil<b>": params.variants["bounded"]}
    text = page_of(root, params.model_copy(update={"variants": hostile}))
    assert "evil<b>" not in text and "evil&lt;b&gt;" in text


def test_a_picture_outside_of_the_artifacts_is_refused(root):
    path = root / "artifacts" / "df2k_x4" / "seed10" / "affine" / "samples" / "samples.json"
    samples = json.loads(path.read_text())
    samples["pictures"][0]["reference"] = "../../../../data/secret.png"
    path.write_text(json.dumps(samples))
    with pytest.raises(DataError, match="outside of this folder"):
        build_report(root, make_params())


def test_what_has_not_run_is_named_and_not_invented(root):
    (root / "artifacts" / "df2k_x4" / "seed10" / "bounded" / "evaluation" / "metrics.json").unlink()
    params = make_params(variants=(*VARIANTS, "newcomer"))
    text = Page(page_of(root, params)).text
    assert "bounded: not yet run: evaluate" in text
    assert "newcomer: not yet run: train, sample, evaluate, stability" in text
    psnr = next(row for row in comparison(root, params) if row.name == "psnr")
    assert psnr.values == {"affine": 10.0, "bounded": None, "rq_spline": 12.0, "newcomer": None}


def test_nothing_at_all_still_makes_a_page(tmp_path, capsys):
    assert "affine: not yet run: train, sample, evaluate, stability" in Page(page_of(tmp_path)).text
    print_summary(tmp_path, make_params())
    assert "not yet run" in capsys.readouterr().out


def test_findings_of_another_profile_are_pointed_out(root):
    write_variant(root, "affine", 0, profile="smoke")
    assert "affine: figures of another profile (smoke)" in Page(page_of(root)).text


def test_a_missing_value_is_a_dash_with_its_reason(root):
    lpips = next(row for row in comparison(root, make_params()) if row.name == "lpips")
    assert lpips.values == dict.fromkeys(VARIANTS) and lpips.best == set()
    assert (
        "rq_spline, LPIPS (AlexNet, v0.1), averaged over the draws: no weights for rq_spline"
        in Page(page_of(root)).text
    )


def test_synthetic_pairs_are_called_so_wherever_they_appear(both, capsys):
    params = make_params(tasks=BOTH)
    text = page_of(both, params)
    lol = text[text.index('<section id="lol">') : text.index('<section id="glossary">')]
    assert "synthetic low-light pairs" in lol[: lol.index("</h2>")]
    assert "input, synthetic" in lol and "synthetic" not in text[text.index('id="df2k_x4"') : text.index('id="lol"')]
    paper = text[text.index('<section id="paper">') : text.index('<section id="df2k_x4">')]
    assert re.search(r"<th [^>]*>lol [^\n]*synthetic low-light pairs", paper)
    print_summary(both, params)
    assert "lol, demo profile, synthetic low-light pairs" in capsys.readouterr().out
    with (both / "report" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        named = {row["task"]: row["pictures"] for row in csv.DictReader(file)}
    assert named == {"df2k_x4": "demo pictures", "lol": "synthetic low-light pairs"}


def test_the_grid_has_a_row_per_picture(both):
    for task, variant, fourth in (("df2k_x4", "affine", "draw_01.png"), ("lol", "bounded", "draws_mean.png")):
        names = {f"p{i}": plain_photograph() for i in range(3)}
        folder = write_variant(both, variant, 0, names, task=task) / "samples"
        grid = sample_grid(folder, load_samples(folder, task, variant))
        width = (grid.shape[1] - 4) // 6 - 4  # of a column: a picture, or a name that is wider
        assert grid.shape == (2 * 20 + 3 * (64 + 20 + 4), 6 * (width + 4) + 4, 3) and width >= 64
        tops = [2 * 20 + row * 88 + 20 for row in range(3)]
        for row, column, file in ((1, 5, "p1/reference.png"), (2, 3, f"p2/{fourth}"), (0, 1, "p0/baseline.png")):
            left = 4 + column * (width + 4)
            with Image.open(folder / file) as picture:
                assert np.array_equal(grid[tops[row] : tops[row] + 64, left : left + 64], np.asarray(picture)), file
    path = write_grid(both / "grid.jpg", folder, load_samples(folder, "lol", "bounded"))
    with Image.open(path) as picture:
        assert picture.size == (grid.shape[1], grid.shape[0])


def test_pure_noise_can_be_written():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    with Image.open(io.BytesIO(jpeg(noise))) as picture:
        assert picture.size == (512, 512)


def test_the_difference_map_is_the_deviation_over_draws():
    draws = [np.full((2, 3, 3), level, np.uint8) for level in (10, 20)]
    draws[1][0, 0] = (10, 10, 40)  # channels deviate by 0, 0 and 15 levels
    levels = difference_map(draws)
    assert (
        levels.shape == (2, 3) and levels[1, 1] == 5.0 and levels[0, 0] == 5.0 and difference_map(draws[:1]).max() == 0
    )


def test_figures_are_pngs_whose_axes_are_labelled(root):
    results = load_results(root, make_params())[0]
    drawn = task_view(results, make_params()).plots
    assert set(drawn) == {"training_curves", "feature_variance", "stress_shares", "out_of_distribution"}
    assert all(plot.png.startswith(b"\x89PNG") for plot in drawn.values())
    rows = {variant: result.tables["feature_variance.csv"] for variant, result in results.variants.items()}
    figure = plots.curves(FeatureVariance.plots[0], rows)
    assert len(figure.axes) == 3 and all(axis.get_yscale() == "log" and axis.get_xlabel() for axis in figure.axes)
    assert len({axis.get_ylim() for axis in figure.axes}) == 1  # panels can be compared


def test_variances_beyond_the_axis_are_marked_above_it():
    values = {"in_distribution": [1.0, 1.0, 1.0], "saturated_1": [1.0, 1e20, None], "texture_1": [1.0, 1e70, 1e70]}
    rows = [
        {
            "index": str(i),
            "level": level,
            "condition": condition,
            "kind": condition.removesuffix("_1"),
            "variance": "" if value is None else str(value),
        }
        for condition, variances in values.items()
        for i, (level, value) in enumerate(zip(("", "2", "1"), variances, strict=True))
    ]
    (axis,) = plots.curves(FeatureVariance.plots[0], {"affine": rows}).axes
    marks = [line for line in axis.lines if line.get_linestyle() == "None" and len(line.get_xdata())]
    found = {(line.get_marker(), *line.get_xdata()) for line in marks}
    assert found == {("^", 1.0), ("x", 2.0), ("^", 1.0, 2.0)}
    heights = {line.get_color(): set(line.get_ydata()) for line in marks}
    assert len(heights) == 2 and len(set.union(*heights.values())) == 2  # a line of marks per kind
    assert axis.get_ylim()[1] < 1e12 and [label.get_text() for label in axis.get_xticklabels()] == [
        "level 2",
        "level 1",
    ]


def test_pictures_are_left_out_and_counted_where_the_page_would_grow_too_big(root):
    for variant in VARIANTS:
        write_variant(root, variant, 1, {name: plain_photograph() for name in "abc"})
    results = load_results(root, make_params())[0]
    (first,), count = photographs(results, limit=1)
    assert (first.name, count) == ("a", 3)
    assert len(photographs(results, limit=2 * first.size + 5000)[0]) == 2
    shown, kinds = stress_pictures(results, limit=1)
    assert list(shown) == ["saturated_2"] and kinds == 4  # the worst of all


def test_stability_comes_first_and_more_than_three_photographs_are_folded(root):
    for strength, variant in enumerate(VARIANTS):
        write_variant(root, variant, strength, {name: plain_photograph() for name in "abcde"})
    text = page_of(root)
    parts = ("comparison", "stress", "feature_variance", "pictures", "training")
    places = [text.index(f'<h3 id="df2k_x4-{part}"') for part in parts]
    assert places == sorted(places) and all(f'<a href="#df2k_x4-{part}">' in text for part in parts)
    folded = text[text.index("<summary>2 more</summary>") :].partition("</details>")[0]
    assert re.findall(r"<h4>(\w)", folded) == ["d", "e"] and len(re.findall(r"<h4>", text)) == 5


def test_pictures_are_shown_at_whole_multiples(root):
    ((photograph,), _) = photographs(load_results(root, make_params())[0], limit=10**7)
    assert photograph.multiple == 5 and all(picture.width == 5 * 64 for picture in photograph.inputs)
    shown, _ = stress_pictures(load_results(root, make_params())[0], limit=10**7)
    assert {picture.width for pictures in shown.values() for picture in pictures.values()} == {4 * 80}


def test_what_is_too_dark_to_see_is_brightened_and_said_to_be(root):
    folder = root / "artifacts" / "df2k_x4" / "seed10" / "affine" / "stability" / "stress"
    write_png(folder / "saturated_2.png", np.full((40, 80, 3), 5, np.uint8))
    shown, _ = stress_pictures(load_results(root, make_params())[0], limit=10**7)
    affine, bounded = (shown["saturated_2"][variant] for variant in ("affine", "bounded"))
    assert affine.caption.endswith("both brightened 51 times for viewing") and "brightened" not in bounded.caption
    with Image.open(io.BytesIO(base64.b64decode(affine.uri.partition(",")[2]))) as picture:
        assert np.asarray(picture).min() >= 250


def test_a_variant_keeps_its_colour():
    colours = figures.variant_colours(["new", "rq_spline", "affine"])
    assert colours["affine"] == figures.variant_colours(["affine"])["affine"]
    assert len(set(colours.values())) == 3


def test_the_stage_logs_the_report_as_one_run(root, monkeypatch):
    from pipeline.reporting import tracked
    from stages import report

    logged = []

    class Recorder:
        def artifact(self, path, folder):
            logged.append(f"{folder}/{path.name}")

        def image(self, path, name):
            logged.append(name)

    @contextlib.contextmanager
    def open_run(root, identity, uri, provenance):
        logged.append(identity.name)
        yield Recorder()

    monkeypatch.chdir(root)
    monkeypatch.setattr(tracked, "open_run", open_run)
    monkeypatch.setattr(report, "load_params", lambda: make_params(variants=(*VARIANTS, "untrained")))
    report.main()
    assert logged[:3] == ["report", "report/report.html", "report/comparison.csv"]
    assert len(logged[3:]) == 4 and all(name.startswith("report/df2k_x4_") for name in logged[3:])
