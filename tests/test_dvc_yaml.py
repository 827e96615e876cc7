"""dvc.yaml: how stages start, and what DVC compares and draws, with any tasks and variants."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from report_tree import BOTH, VARIANTS, build_both, build_root, make_params, write_variant

from pipeline.files import read_csv, write_csv
from pipeline.reporting.dvc_summary import main_figures, write_dvc_summary
from pipeline.reporting.results import load_results
from pipeline.reporting.tables import task_rows

ROOT = Path(__file__).resolve().parents[1]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PLOTS = {folder: properties for entry in DVC["plots"] for folder, properties in entry.items()}


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_starts_with_the_launcher(stage):
    content = DVC["stages"][stage]
    start, _, options = content.get("do", content)["cmd"].partition(" --")
    program = stage.removesuffix("_shielded")
    assert start == f"sh stages/run {program}"
    assert (ROOT / "stages" / f"{program}.py").is_file()
    if "foreach" in content:
        assert options == "search ${key}"
        return
    axes = re.findall(r"--(\w+) \$\{item\.(\w+)\}", f"--{options}")
    assert axes == [(name, name) for name in content.get("matrix", {})]


def needed_by(stage):
    """Return the stages that ``stage`` depends on, over others too: whose outputs lie in what those depend on."""
    contents = {name: content.get("do", content) for name, content in DVC["stages"].items()}
    found, pending = set(), [stage]
    while pending:
        own = contents[pending.pop()]
        read = [*own["deps"], *(place for entry in own.get("params", []) for place in entry)]
        for name, content in contents.items():
            made = [out if isinstance(out, str) else next(iter(out)) for out in content["outs"]]
            if name not in found and any(f"{one}/".startswith(f"{dep}/") for one in made for dep in read):
                found.add(name)
                pending.append(name)
    return found


def test_the_report_needs_every_stage_but_the_searches():
    # `make repro` makes the report, and so all that it needs
    assert set(DVC["stages"]) - needed_by("report") == {"report", "search", "search_flow"}
    assert needed_by("search") == {"settings"}
    assert needed_by("search_flow") == {"settings", "prepare", "pretrain"}


def test_the_summary_is_all_that_dvc_takes_for_metrics():
    assert DVC["metrics"] == ["report/metrics.json"]
    assert not any("metrics" in stage or "plots" in stage for stage in DVC["stages"].values())


def test_git_ignores_what_dvc_compares_and_draws():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/report/" in ignored and "/dvc_plots/" in ignored
    assert all(name.startswith("report/") for name in (*DVC["metrics"], *PLOTS))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return a DVC project with the committed metrics and plots, of two tasks and three variants at one seed."""
    root = build_both(tmp_path_factory.mktemp("project"))
    for task in BOTH:
        for number, variant in enumerate(VARIANTS):
            write_variances(root, task, variant, 10.0**number)
    found = load_results(root, make_params(tasks=BOTH))
    write_dvc_summary(root, [(task, task_rows(task)) for task in found])
    (root / "dvc.yaml").write_text(yaml.safe_dump({key: DVC[key] for key in ("metrics", "plots")}), encoding="utf-8")
    dvc(root, "init", "-q", "--no-scm")
    shutil.copytree(ROOT / ".dvc" / "plots", root / ".dvc" / "plots")
    return root


def write_variances(root, task, variant, factor, seed=10):
    conditions = {"in_distribution": 2.0, "noise 0": 4.0, "noise 1": 2.0 * factor}
    rows = [
        {"index": i, "layer": "x", "level": 1, "condition": c, "kind": c, "variance": v}
        for i in range(3)
        for c, v in conditions.items()
    ]
    rows[-1]["variance"] = None if factor > 10 else rows[-1]["variance"]
    folder = root / "artifacts" / task / f"seed{seed}" / variant / "stability"
    write_csv(folder / "feature_variance.csv", ["index", "layer", "level", "condition", "kind", "variance"], rows)


def dvc(folder, *arguments):
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / "site")}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dvc_reads_the_main_figures(compared):
    read = json.loads(dvc(compared, "metrics", "show", "--json"))[""]["data"]["report/metrics.json"]["data"]
    assert set(read) == set(BOTH)
    assert read["df2k_x4"]["psnr"] == {"affine": 10.0, "bounded": 11.0, "rq_spline": 12.0}
    assert read["df2k_x4"]["bad_pixels.bad_share_stress"] == {"affine": 0.0, "bounded": 20.0, "rq_spline": 40.0}
    assert read["lol"]["validation_bits_per_dim"]["bounded"] == pytest.approx(-2.0)
    assert "minutes" not in read["lol"]


@pytest.fixture(scope="module")
def charts(compared):
    """Return what the page of ``dvc plots show`` draws, by the file that a chart is of."""
    dvc(compared, "plots", "show")
    page = (compared / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    specs = [json.loads(spec) for spec in re.findall(r"var spec = (\{.*\});", page)]
    return {spec["title"]["text"]: spec for spec in specs}


def test_dvc_draws_a_chart_per_plot_and_task(charts):
    assert set(charts) == {f"{folder}/{task}.csv" for folder in PLOTS for task in BOTH}


def test_a_chart_has_every_variant_in_a_colour_of_its_own(charts):
    for spec in charts.values():
        assert spec["encoding"]["color"]["field"] == "variant"
        assert list(dict.fromkeys(row["variant"] for row in spec["data"]["values"])) == list(VARIANTS)


def test_a_chart_is_left_no_placeholder_of_its_template(charts):
    assert "<DVC_METRIC" not in json.dumps(list(charts.values()))


def test_a_chart_tells_versions_apart(charts):
    for spec in charts.values():
        assert "rev" in {channel.get("field") for channel in spec["encoding"].values() if isinstance(channel, dict)}


def points(charts, plot, variant, task="df2k_x4"):
    properties = PLOTS[f"report/plots/{plot}"]
    rows = charts[f"report/plots/{plot}/{task}.csv"]["data"]["values"]
    return [(row[properties["x"]], row[properties["y"]]) for row in rows if row["variant"] == variant]


def test_the_likelihood_is_drawn_against_steps(charts):
    assert [step for step, _ in points(charts, "held_out_nll", "bounded")] == ["100", "200", "300", "400"]


def test_the_variance_is_that_of_the_worst_stress_input_over_photographs(charts):
    assert [round(float(y), 6) for _, y in points(charts, "feature_variance", "affine")] == [0.30103] * 3
    assert [round(float(y), 6) for _, y in points(charts, "feature_variance", "bounded")] == [1.0] * 3


def test_a_variance_that_is_not_finite_is_a_gap_and_no_zero(charts):
    assert [y for _, y in points(charts, "feature_variance", "rq_spline")] == ["2.0", "2.0", ""]
    assert "toNumber" in json.dumps(charts["report/plots/feature_variance/lol.csv"]["transform"])  # of "" it makes null


def test_bad_values_of_a_kind_of_stress_input_are_of_all_its_inputs(charts):
    shares = {kind: round(float(share), 6) for share, kind in points(charts, "stress_shares", "bounded")}
    assert shares == {"uniform noise": 5.0, "binary noise": 25.0, "checkerboard": 45.0, "saturated": 65.0}  # percent


def test_the_summary_is_the_mean_over_seeds(tmp_path):
    root = build_root(tmp_path)
    for strength, variant in enumerate(VARIANTS):
        write_variant(root, variant, strength + 2, seed=11)
    (task,) = load_results(root, make_params(seeds=(10, 11)))
    assert main_figures(task, task_rows(task))["psnr"] == {"affine": 11.0, "bounded": 12.0, "rq_spline": 13.0}
    assert main_figures(task, task_rows(task))["lpips"] == dict.fromkeys(VARIANTS)  # no value, for a reason


def test_a_curve_is_the_mean_over_seeds(tmp_path):
    root = build_root(tmp_path)
    for seed, bits in ((10, -1.0), (11, -2.0)):
        folder = write_variant(root, "affine", seed=seed) / "training"
        write_csv(folder / "validation.csv", ["step", "nll", "bits_per_dim"], [{"step": 5, "bits_per_dim": bits}])
    found = load_results(root, make_params(variants=("affine",), seeds=(10, 11)))
    write_dvc_summary(root, [(task, task_rows(task)) for task in found])
    rows = read_csv(root / "report" / "plots" / "held_out_nll" / "df2k_x4.csv")
    assert rows == [{"step": "5", "bits_per_dim": "-1.5", "variant": "affine"}]
