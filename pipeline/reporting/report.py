"""The report: one self-contained HTML page and comparison.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Params
from pipeline.files import write_bytes, write_text
from pipeline.reporting import figures
from pipeline.reporting.dvc_summary import write_dvc_summary
from pipeline.reporting.paper_figures import NOTES, PAPER_TABLES
from pipeline.reporting.pictures import colour_stops, photographs, stress_pictures
from pipeline.reporting.pixels import data_uri
from pipeline.reporting.references import HONG, REFERENCES
from pipeline.reporting.results import TaskResults, load_results, number
from pipeline.reporting.rows import Row, over_seeds, show
from pipeline.reporting.tables import (
    REPORT_FILE,
    group_headings,
    how_drawn,
    paper_rows,
    task_rows,
    write_comparison,
)
from pipeline.reporting.wording import wording_of

TEMPLATE = "report.html.j2"
FIGURES = "figures"
# Of all tasks together; with the plots of five tasks the page stays under 15 MB.
_PHOTOGRAPH_BYTES = 7_000_000
_STRESS_BYTES = 2_500_000


def build_report(root: Path, params: Params) -> Path:
    """Write ``report/``: report.html, comparison.csv, figures/ and what DVC compares; return the path of the page.

    Stages that have not run are named as such. Raises DataError for a file that cannot be read.
    """
    results = load_results(root, params)
    page = root / REPORT_FILE
    write_comparison(page.with_name("comparison.csv"), results, params)
    write_dvc_summary(root, results)
    tasks = []
    for task in results:
        plots = task_figures(task, params.profile)
        for name, png in plots.items():
            write_bytes(page.with_name(FIGURES) / f"{task.task}_{name}.png", png)
        tasks.append(_task(task, task_rows(task), params, plots, len(results)))
    return write_text(page, _render(params, tasks, _paper_tables(results)))


def task_figures(results: TaskResults, profile: str) -> dict[str, bytes]:
    """Return the plots of one task as PNG by name; a plot whose stage has not run is left out."""
    title = f"{results.task}, {profile} profile"
    trained = {v: r for v, r in results.variants.items() if r.curve}
    audited = {v: r for v, r in results.variants.items() if r.feature_variance}
    shares = _stress_rows(results)
    stressed = {
        v: {row.name: share / 100 for row in shares if (share := row.values[v]) is not None}
        for v, r in results.variants.items()
        if r.stress
    }
    plots: dict[str, Any] = {}
    if trained:
        validations = {v: r.validation for v, r in trained.items()}
        plots["training_curves"] = figures.training_curves({v: r.curve for v, r in trained.items()}, validations, title)
    if audited:
        plots["feature_variance"] = figures.feature_variance({v: r.feature_variance for v, r in audited.items()}, title)
    if stressed:
        plots["stress_shares"] = figures.stress_shares(stressed, title)
    return {name: figures.to_png(figure) for name, figure in plots.items()}


def _shares(rows: list[dict[str, str]]) -> dict[str, float]:
    """Return the share of bad values per kind of stress input, over all values of its inputs."""
    values: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        values.setdefault(row["kind"], []).append((number(row["bad_share"]), number(row["values"])))
    return {kind: sum(s * n for s, n in pairs) / sum(n for _, n in pairs) for kind, pairs in values.items()}


def _task(results: TaskResults, rows: list[Row], params: Params, plots: dict[str, bytes], tasks: int) -> dict[str, Any]:
    shown, pictures = photographs(results, _PHOTOGRAPH_BYTES // tasks)
    stressed, kinds = stress_pictures(results, _STRESS_BYTES // tasks)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return {
        "name": results.task,
        "title": wording_of(results.kind).title.format(scale=params.tasks[results.task].scale),
        "baseline": wording_of(results.kind).baseline,
        "demo": results.demo,
        "counts": _counts(results),
        "manifest": results.manifest,
        "notices": _notices(results, params.profile),
        "groups": groups,
        "headings": group_headings(results),
        "drawn": how_drawn(results),
        "training": results.settings.training,
        "reasons": [(row.title, variant, reason) for row in rows for variant, reason in row.reasons.items()],
        "paper": PAPER_TABLES.get(results.task),
        "photographs": shown,
        "photographs_in_all": pictures,
        "figures": {name: data_uri(png, "png") for name, png in plots.items()},
        "stress": _stress_table(results),
        "stress_rows": _stress_rows(results),
        "stress_pictures": stressed,
        "stress_kinds": kinds,
        "run_keys": [result for one in (results, *results.repeats) for result in one.variants.values()],
    }


def _stress_rows(results: TaskResults) -> list[Row]:
    """Return the share of bad values in percent over the seeds, one row per kind of stress input."""
    return over_seeds(_stress_rows_of_a_seed(one) for one in (results, *results.repeats))


def _stress_rows_of_a_seed(results: TaskResults) -> list[Row]:
    shares = {variant: _shares(result.stress) for variant, result in results.variants.items()}
    kinds = list(dict.fromkeys(kind for table in shares.values() for kind in table))
    percent = {k: {v: 100 * table[k] if k in table else None for v, table in shares.items()} for k in kinds}
    return [Row(results.task, "", kind, kind.replace("_", " "), "%", "lower", percent[kind]) for kind in kinds]


def _counts(results: TaskResults) -> dict[str, int]:
    """Return the number of prepared targets per split; a pair counts once."""
    pictures = results.manifest["pictures"] if results.manifest else []
    targets = [picture["split"] for picture in pictures if picture.get("role", "target") == "target"]
    return {split: targets.count(split) for split in ("train", "validation")}


def _paper_tables(results: list[TaskResults]) -> dict[int, dict[str, Any]]:
    """Return paper A's tables by number: our tasks of each with the rows that the paper printed."""
    tables: dict[int, dict[str, Any]] = {}
    for task in results:
        if rows := paper_rows(task):
            paper = PAPER_TABLES[task.task]
            table = tables.setdefault(paper.number, {"note": NOTES[paper.number], "tasks": []})
            table["tasks"].append({"name": task.task, "demo": task.demo, "rows": rows, "paper": paper})
    return dict(sorted(tables.items()))


def _notices(results: TaskResults, profile: str) -> list[str]:
    notices = []
    for result in (found for one in (results, *results.repeats) for found in one.variants.values()):
        which = f"{result.variant}, seed {result.seed}" if results.repeats else result.variant
        if result.missing:
            notices.append(f"{which}: not yet run: {', '.join(result.missing)}")
        if others := result.profiles - {profile}:
            notices.append(f"{which}: figures of another profile ({', '.join(sorted(others))}) stand here; run again")
    return notices


def _stress_table(results: TaskResults) -> dict[str, dict[str, dict[str, Any]]]:
    """Return per stress input, per variant: share of bad values in percent, non-finite count, largest value."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for variant, result in results.variants.items():
        for row in result.stress:
            table.setdefault(row["name"], {})[variant] = {
                "share": 100 * number(row["bad_share"]),
                "nonfinite": int(row["nonfinite_values"]),
                "largest": show(number(row["largest"])) if row["largest"] else "none finite",
            }
    return table


def _render(params: Params, tasks: list[dict[str, Any]], paper_tables: dict[int, dict[str, Any]]) -> str:
    """Fill the template; everything that comes from files or params is escaped by jinja2."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = show
    return environment.get_template(TEMPLATE).render(
        params=params,
        tasks=tasks,
        paper_tables=paper_tables,
        variants=list(params.variants),
        colours=figures.variant_colours(list(params.variants)),
        label="" if params.profile == "paper" else f"{params.profile} profile",
        colour_stops=colour_stops(),
        paper=HONG,
        references=REFERENCES,
    )
