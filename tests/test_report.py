"""The report and the tables, from a small tree of artifacts written here by hand."""

import contextlib
import csv
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipeline.config import Params
from pipeline.errors import DataError
from pipeline.files import write_csv, write_json
from pipeline.metrics import METRICS, metrics_of
from pipeline.metrics.samples import load_samples
from pipeline.reporting import figures, tables
from pipeline.reporting.grid import sample_grid, write_grid
from pipeline.reporting.paper_figures import PAPER_TABLES
from pipeline.reporting.pictures import difference_map, photographs, stress_pictures
from pipeline.reporting.report import build_report, task_figures
from pipeline.reporting.results import load_results
from pipeline.reporting.tables import Row, comparison, paper_rows, print_summary, show
from pipeline.reporting.wording import WORDING

VARIANTS = ("affine", "bounded", "rq_spline")
TASKS = {
    "df2k_x4": {"kind": "super_resolution", "dataset": "df2k", "scale": 4},
    "lol": {"kind": "low_light", "dataset": "lol"},
}
HOSTILE = "<script>alert(1)</script>'\"&"


def make_params(profile="demo", variants=VARIANTS, tasks=("df2k_x4",)):
    return Params.model_validate(
        {
            "profile": profile,
            "seed": 10,
            "tasks": {task: TASKS[task] for task in tasks},
            "variants": {name: {"transform": "affine", "options": {"eps": 1e-4}} for name in variants},
            "datasets": {"df2k": {}, "lol": {}},
            "profiles": {},
        }
    )


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_variant(root, variant, strength=0, photographs=None, profile="demo", draws=4, task="df2k_x4"):
    """Write what all stages leave for one variant; ``strength`` makes it worse, ``photographs`` are id -> pixels."""
    random = np.random.default_rng(strength)
    folder = root / "artifacts" / task / variant
    kind = TASKS[task]["kind"]
    head = {"task": task, "variant": variant, "profile": profile, "run_key": f"key{strength}"}
    numbers = {"steps": 400, "minutes": 2.5, "parameters": 1_234_567, "skipped_steps": strength}
    bits = {"nll": -6.0, "bits_per_dim": -2.0, "validation_nll": -5.7, "validation_bits_per_dim": -1.9 - 0.1 * strength}
    write_json(folder / "training" / "summary.json", {**head, **numbers, **bits})
    curve = [
        {"step": s, "bits_per_dim": 2 * np.exp(-s / 80) - 2 + 0.1 * random.normal(), "gradient_norm": 30 / (1 + s / 50)}
        for s in range(0, 400, 20)
    ]
    write_csv(folder / "training" / "curve.csv", ["step", "bits_per_dim", "gradient_norm"], curve)
    validation = [{"step": s, "nll": 1.0, "bits_per_dim": 2 * np.exp(-s / 80) - 1.9} for s in (100, 200, 300, 400)]
    write_csv(folder / "training" / "validation.csv", ["step", "nll", "bits_per_dim"], validation)
    entries = []
    for index, (name, pixels) in enumerate((photographs or {"cat": plain_photograph()}).items()):
        entries.append(write_samples(folder / "samples", f"p{index}", name, pixels, draws, 8 + 4 * strength, random))
    samples = {**head, "kind": kind, "scale": 4, "temperature": 0.9, "pictures": entries}
    write_json(folder / "samples" / "samples.json", samples)
    metrics = {name: 10.0 + strength for name in metrics_of(kind)}
    metrics["lpips"] = None
    write_json(
        folder / "evaluation" / "metrics.json",
        {
            **head,
            "pictures": len(entries),
            "draws": draws,
            "metrics": metrics,
            "reasons": {"lpips": f"no weights for {variant}"},
            "baseline": {name: 1.0 for name in metrics},
        },
    )
    write_stability(folder / "stability", head, strength)
    return folder


def plain_photograph():
    return np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))


def write_samples(folder, sub, name, pixels, draws, noise, random):
    small = pixels[::4, ::4]
    write_png(folder / sub / "reference.png", pixels)
    write_png(folder / sub / "input.png", small)
    write_png(
        folder / sub / "baseline.png", np.repeat(np.repeat(small, 4, 0), 4, 1)[: pixels.shape[0], : pixels.shape[1]]
    )
    for estimate in ("latent_mean", "draws_mean"):
        write_png(folder / sub / f"{estimate}.png", pixels)
    files = []
    for draw in range(draws):
        noisy = pixels + random.normal(0, noise, pixels.shape)
        write_png(folder / sub / f"draw_{draw:02}.png", noisy.clip(0, 255).astype(np.uint8))
        bad = {"nonfinite_values": 0, "outside_values": 30 if draw == 1 and noise > 10 else 0}
        files.append(
            {"file": f"{sub}/draw_{draw:02}.png", "minimum": 0.0, "maximum": 1.0, "values": pixels.size, **bad}
        )
    named = {kind: f"{sub}/{kind}.png" for kind in ("reference", "input", "baseline", "latent_mean", "draws_mean")}
    return {"id": name, **named, "draws": files}


def write_stability(folder, head, strength):
    kinds = ("uniform_noise", "binary_noise", "checkerboard", "saturated")
    names = [f"{kind}_{i}" for kind in kinds for i in (1, 2)]
    growth = {"in_distribution": 0.02, **{name: 0.1 * strength * (i + 1) for i, name in enumerate(names)}}
    rows = [
        {"index": i, "layer": f"layer {i}", "condition": condition, "variance": float(np.exp(rate * i))}
        for condition, rate in growth.items()
        for i in range(40)
    ]
    rows[-1]["variance"] = None if strength else rows[-1]["variance"]
    write_csv(folder / "feature_variance.csv", ["index", "layer", "condition", "variance"], rows)
    columns = ["name", "kind", "bad_share", "nonfinite_values", "values", "largest"]
    stress = [
        {
            "name": name,
            "kind": name[:-2],
            "bad_share": min(1.0, 0.1 * strength * i),
            "nonfinite_values": 7 * strength,
            "values": 1000,
            "largest": 10.0**strength if i else None,
        }
        for i, name in enumerate(names)
    ]
    write_csv(folder / "stress.csv", columns, stress)
    for name in names:
        write_png(folder / "stress" / f"{name}.png", np.full((40, 80, 3), 100, np.uint8))
    analyses = {
        "bad_pixels": {"bad_share_stress": 0.2 * strength, "bad_share_in_distribution": 0.0},
        "brand_new": {"some_number": 3.5},
        "certified_bound": {"largest_slope": 8.0 + strength, "value": 12.5 if strength == 2 else None},
    }
    reasons = {} if strength == 2 else {"certified_bound.value": "no bound"}
    write_json(folder / "summary.json", {**head, "analyses": analyses, "reasons": reasons})


def write_manifest(root, task, note, pictures):
    content = {"licence": "free", "notes": [note], "demo": True, "pictures": pictures}
    write_json(root / "data" / "prepared" / task / "manifest.json", content)


@pytest.fixture
def root(tmp_path):
    for strength, variant in enumerate(VARIANTS):
        write_variant(tmp_path, variant, strength)
    pictures = [{"id": "a", "split": "train"}, {"id": "cat", "split": "validation"}]
    write_manifest(tmp_path, "df2k_x4", "A note.", pictures)
    return tmp_path


@pytest.fixture
def both(root):
    """Two tasks: super-resolution, and low light on synthetic pairs."""
    for strength, variant in enumerate(VARIANTS):
        write_variant(root, variant, strength, task="lol")
    sides = [{"id": "cat", "split": "validation"}, {"id": "cat", "split": "validation", "role": "input"}]
    write_manifest(root, "lol", "demo: synthetic low-light pairs; not LOL", sides)
    return root


BOTH = ("df2k_x4", "lol")


class Page(html.parser.HTMLParser):
    """Collects tags, the addresses that they name, and their text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.texts, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in {"src", "href", "srcset", "action", "data", "poster"}]
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.texts.append(data.strip())

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def page_of(root, params=None):
    return build_report(root, params or make_params()).read_text(encoding="utf-8")


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
    ):
        assert part in text
    assert "1 pictures for training, 1 others held out" in text and "A note." in text
    assert "where 4 draws differ" in text and "paper A, Table 1, DIV2K 4x" in text and "3 of 100" in text
    assert "not yet run" not in text


def test_every_figure_of_ours_is_labelled_with_the_profile(root):
    text = page_of(root)
    headings = re.findall(r"<h3.*?</h3>|<h4>.*?</h4>", text)
    assert len(headings) >= 6 and all("demo profile" in heading for heading in headings)
    for variant in VARIANTS:
        write_variant(root, variant, 1, profile="paper")
    assert "demo profile" not in page_of(root, make_params("paper"))


def test_a_hostile_picture_name_stays_text(root):
    write_variant(root, "affine", 0, {HOSTILE: plain_photograph()})
    text = page_of(root)
    assert "<script>" not in text and HOSTILE in Page(text).text


def test_a_hostile_variant_and_reason_stay_text(root):
    write_variant(root, "evil<b>", 1)
    text = page_of(root, make_params(variants=("affine", "evil<b>")))
    assert "evil<b>" not in text and "evil&lt;b&gt;" in text


def test_a_picture_outside_of_the_artifacts_is_refused(root):
    path = root / "artifacts" / "df2k_x4" / "affine" / "samples" / "samples.json"
    samples = json.loads(path.read_text())
    samples["pictures"][0]["reference"] = "../../../../data/secret.png"
    path.write_text(json.dumps(samples))
    with pytest.raises(DataError, match="outside of this folder"):
        build_report(root, make_params())


def test_what_has_not_run_is_named_and_not_invented(root):
    (root / "artifacts" / "df2k_x4" / "bounded" / "evaluation" / "metrics.json").unlink()
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


def test_a_damaged_file_is_one_clear_line(root):
    (root / "artifacts" / "df2k_x4" / "affine" / "training" / "summary.json").write_text("{")
    with pytest.raises(DataError, match=r"summary.json is damaged.*run the same command again"):
        comparison(root, make_params())


def test_a_missing_value_is_a_dash_with_its_reason(root):
    lpips = next(row for row in comparison(root, make_params()) if row.name == "lpips")
    assert lpips.values == dict.fromkeys(VARIANTS) and lpips.best == set()
    assert (
        "rq_spline, LPIPS (AlexNet, v0.1), averaged over the draws: no weights for rq_spline"
        in Page(page_of(root)).text
    )


@pytest.mark.parametrize(
    ("better", "values", "best"),
    [
        ("higher", (1.0, 3.0, 2.0), {"bounded"}),
        ("lower", (1.0, 3.0, 1.0), {"affine", "rq_spline"}),
        ("target:1", (0.5, 1.2, 1.4), {"bounded"}),
        ("lower", (2.0, 2.0, 2.0), set()),
        ("lower", (float("nan"), None, 2.0), set()),
        ("", (1.0, 2.0, 3.0), set()),
    ],
)
def test_the_best_value_of_a_row(better, values, best):
    row = Row("t", "g", "n", "title", "", better, dict(zip(VARIANTS, values, strict=True)))
    assert row.best == best


def test_comparison_csv_keeps_the_paper_apart(root):
    build_report(root, make_params())
    with (root / "artifacts" / "report" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    errors = rows["errors_lr_psnr_45"]
    assert [errors[name] for name in (*VARIANTS, "baseline")] == ["10.0", "11.0", "12.0", "1.0"]
    assert [errors[name] for name in tables.PAPER_COLUMNS] == ["3 of 100", "2 of 100", "0 of 100"]
    assert rows["bad_pixels.bad_share_stress"]["rq_spline"] == "40.0" and rows["lpips"]["affine"] == ""
    assert set(metrics_of("super_resolution")) <= set(rows) and "psnr_draws_mean_gain" not in rows
    assert errors["pictures"] == "demo pictures" and "brand_new.some_number" in rows


def test_paper_figures_stand_under_real_metrics():
    assert {name for table in PAPER_TABLES.values() for name in table.rows} <= set(METRICS)
    for task, table in PAPER_TABLES.items():
        kind = {1: "super_resolution", 2: "low_light"}[table.number]
        assert set(table.rows) <= set(metrics_of(kind)), task
    assert all(set(words.main) & set(metrics_of(kind)) for kind, words in WORDING.items())


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


def test_synthetic_pairs_are_called_so_wherever_they_appear(both, capsys):
    params = make_params(tasks=BOTH)
    text = page_of(both, params)
    lol = text[text.index('<section id="lol">') : text.index('<section id="glossary">')]
    for heading in re.findall(r"<h2.*?</h2>|<h3[^>]*>(?:Comparison|Held-out).*?</h3>|<h4>.*?</h4>", lol):
        assert "synthetic low-light pairs" in heading
    assert "input, synthetic" in lol and "synthetic" not in text[text.index('id="df2k_x4"') : text.index('id="lol"')]
    paper = text[text.index('<section id="paper">') : text.index('<section id="df2k_x4">')]
    assert re.search(r"<th [^>]*>lol [^\n]*synthetic low-light pairs", paper)
    print_summary(both, params)
    assert "lol, demo profile, synthetic low-light pairs" in capsys.readouterr().out
    with (both / "artifacts" / "report" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        named = {row["task"]: row["pictures"] for row in csv.DictReader(file)}
    assert named == {"df2k_x4": "demo pictures", "lol": "synthetic low-light pairs"}


def test_the_papers_tables_stand_beside_ours(both):
    sr, low_light = load_results(both, make_params(tasks=BOTH))
    assert [row.name for row in paper_rows(sr)][:3] == ["errors_lr_psnr_45", "diversity", "lpips"]
    rows = {row.name or row.title: row for row in paper_rows(low_light)}
    assert rows["psnr_draws_mean"].paper == ("20.54", "19.64", "21.01")
    people = rows["Pictures that more than 3 of 5 people judged erroneous"]
    assert people.paper == ("5 of 15", "2 of 15", "0 of 15") and set(people.values.values()) == {None}
    assert rows["bad_pixels.bad_share_stress"].values["rq_spline"] == 40.0
    text = Page(page_of(both, make_params(tasks=BOTH))).text
    assert "Table 1" in text and "Table 2" in text and "20.54" in text and "25.19 dB" in text


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


def test_the_grid_has_a_row_per_picture(both):
    for task, variant in (("df2k_x4", "affine"), ("lol", "bounded")):
        names = {f"p{i}": plain_photograph() for i in range(3)}
        folder = write_variant(both, variant, 0, names, task=task) / "samples"
        grid = sample_grid(folder, load_samples(folder, task, variant))
        width = (grid.shape[1] - 4) // 6 - 4  # of a column: a picture, or a name that is wider
        assert grid.shape == (2 * 20 + 3 * (64 + 20 + 4), 6 * (width + 4) + 4, 3) and width >= 64
        tops = [2 * 20 + row * 88 + 20 for row in range(3)]
        for row, column, file in ((1, 5, "p1/reference.png"), (2, 3, "p2/draw_01.png"), (0, 1, "p0/baseline.png")):
            left = 4 + column * (width + 4)
            with Image.open(folder / file) as picture:
                assert np.array_equal(grid[tops[row] : tops[row] + 64, left : left + 64], np.asarray(picture)), file
    path = write_grid(both / "grid.jpg", folder, load_samples(folder, "lol", "bounded"))
    with Image.open(path) as picture:
        assert picture.size == (grid.shape[1], grid.shape[0])


def test_the_terminal_summary_ends_with_what_to_type_next(root, capsys):
    build_report(root, make_params())
    print_summary(root, make_params())
    out = capsys.readouterr().out
    assert all(variant in out for variant in VARIANTS) and "demo profile" in out
    assert str(root / "artifacts" / "report" / "report.html") in out and "make ui" in out


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (12.0, "12"), (1234567.0, "1,234,567"), (0.11723, "0.1172"), (3e34, "3e+34"),
     (1.25e-6, "1.25e-06"), (float("nan"), "nan"), (float("inf"), "inf")],
)  # fmt: skip
def test_numbers_as_people_read_them(value, text):
    assert show(value) == text


def test_the_difference_map_is_the_deviation_over_draws():
    draws = [np.full((2, 3, 3), level, np.uint8) for level in (10, 20)]
    draws[1][0, 0] = (10, 10, 40)  # channels deviate by 0, 0 and 15 levels
    levels = difference_map(draws)
    assert (
        levels.shape == (2, 3) and levels[1, 1] == 5.0 and levels[0, 0] == 5.0 and difference_map(draws[:1]).max() == 0
    )


def test_figures_are_pngs_whose_axes_are_labelled(root):
    results = load_results(root, make_params())[0]
    assert set(task_figures(results, "demo")) == {"training_curves", "feature_variance", "stress_shares"}
    assert all(png.startswith(b"\x89PNG") for png in task_figures(results, "demo").values())
    rows = {variant: result.feature_variance for variant, result in results.variants.items()}
    figure = figures.feature_variance(rows)
    assert len(figure.axes) == 3 and all(axis.get_yscale() == "log" and axis.get_xlabel() for axis in figure.axes)
    assert len({axis.get_ylim() for axis in figure.axes}) == 1  # panels can be compared


def test_pictures_are_left_out_and_counted_where_the_page_would_grow_too_big(root):
    for variant in VARIANTS:
        write_variant(root, variant, 1, {name: plain_photograph() for name in "abc"})
    results = load_results(root, make_params())[0]
    (first,), count = photographs(results, limit=1)
    assert (first.name, count) == ("a", 3)
    assert len(photographs(results, limit=2 * first.size + 5000)[0]) == 2
    shown, kinds = stress_pictures(results, limit=1)
    assert list(shown) == ["saturated_2"] and kinds == 4  # the worst of all


def test_a_variant_keeps_its_colour():
    colours = figures.variant_colours(["new", "rq_spline", "affine"])
    assert colours["affine"] == figures.variant_colours(["affine"])["affine"]
    assert len(set(colours.values())) == 3


def test_the_stage_logs_the_report_to_every_run(root, monkeypatch):
    from stages import report

    logged = []

    class Recorder:
        def artifact(self, path, folder=""):
            logged[-1][1].append(f"{folder}/{path.name}")

        image = artifact

    @contextlib.contextmanager
    def open_run(root, task, variant, run_key, params, stage):
        logged.append(((task, variant, run_key, stage), []))
        yield Recorder()

    monkeypatch.chdir(root)
    monkeypatch.setattr(report, "open_run", open_run)
    monkeypatch.setattr(report, "load_params", lambda: make_params(variants=(*VARIANTS, "untrained")))
    report.main()
    assert [run for run, _ in logged] == [("df2k_x4", v, f"key{i}", "report") for i, v in enumerate(VARIANTS)]
    assert logged[0][1][:2] == ["report/report.html", "report/comparison.csv"]
    assert len(logged[0][1]) == 5  # and three figures
