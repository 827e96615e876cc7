"""The report: one self-contained HTML page and comparison.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Params
from pipeline.files import write_bytes, write_text
from pipeline.reporting import figures
from pipeline.reporting.paper_figures import PAPER_TABLES
from pipeline.reporting.pictures import colour_stops, data_uri, photographs, stress_pictures
from pipeline.reporting.results import BASELINES, TaskResults, load_results, number
from pipeline.reporting.tables import REPORT_FILE, Row, show, task_rows, write_comparison

TEMPLATE = "report.html.j2"
FIGURES = "figures"
# Of all tasks together; with the plots the page stays under 8 MB.
_PHOTOGRAPH_BYTES = 4_000_000
_STRESS_BYTES = 1_500_000


def build_report(root: Path, params: Params) -> Path:
    """Write ``artifacts/report/``: report.html, comparison.csv and figures/; return the path of the page.

    Stages that have not run are named as such. Raises DataError for a file that cannot be read.
    """
    results = load_results(root, params)
    rows = {task.task: task_rows(task) for task in results}
    page = root / REPORT_FILE
    write_comparison(page.with_name("comparison.csv"), [row for table in rows.values() for row in table], params)
    tasks = []
    for task in results:
        plots = task_figures(task, params.profile)
        for name, png in plots.items():
            write_bytes(page.with_name(FIGURES) / f"{task.task}_{name}.png", png)
        tasks.append(_task(task, rows[task.task], params, plots, len(results)))
    return write_text(page, _render(params, tasks))


def task_figures(results: TaskResults, profile: str) -> dict[str, bytes]:
    """Return the plots of one task as PNG by name; a plot whose stage has not run is left out."""
    title = f"{results.task}, {profile} profile"
    trained = {v: r for v, r in results.variants.items() if r.curve}
    audited = {v: r for v, r in results.variants.items() if r.feature_variance}
    stressed = {v: _shares(r.stress) for v, r in results.variants.items() if r.stress}
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
        "config": params.tasks[results.task],
        "baseline": BASELINES[results.kind],
        "manifest": results.manifest,
        "notices": _notices(results, params.profile),
        "groups": groups,
        "reasons": [(row.title, variant, reason) for row in rows for variant, reason in row.reasons.items()],
        "paper": PAPER_TABLES.get(results.task),
        "photographs": shown,
        "photographs_in_all": pictures,
        "figures": {name: data_uri(png, "png") for name, png in plots.items()},
        "stress": _stress_table(results),
        "stress_pictures": stressed,
        "stress_kinds": kinds,
        "run_keys": {variant: result.run_key for variant, result in results.variants.items()},
    }


def _notices(results: TaskResults, profile: str) -> list[str]:
    notices = []
    for variant, result in results.variants.items():
        if result.missing:
            notices.append(f"{variant}: not yet run: {', '.join(result.missing)}")
        if others := result.profiles - {profile}:
            notices.append(f"{variant}: figures of another profile ({', '.join(sorted(others))}) stand here; run again")
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


def _render(params: Params, tasks: list[dict[str, Any]]) -> str:
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
        variants=list(params.variants),
        colours=figures.variant_colours(list(params.variants)),
        label="" if params.profile == "paper" else f"{params.profile} profile",
        colour_stops=colour_stops(),
    )
