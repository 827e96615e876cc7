"""What DVC compares between versions of a project: a short file of main figures, and the tables behind its plots.

``dvc.yaml`` names them under ``metrics`` and ``plots``. It cannot know which tasks and variants there are: every task
has a table of its own in a folder per plot, in long form, where a column says the variant.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.files import write_csv, write_json
from pipeline.reporting.results import TaskResults, VariantResults, number
from pipeline.reporting.rows import ComparisonRow
from pipeline.reporting.tables import REPORT_FILE
from pipeline.reporting.wording import wording_of
from pipeline.stability.analyses.bad_pixels import STRESS_TABLE
from pipeline.stability.analyses.feature_variance import VARIANCE_TABLE
from pipeline.stability.subject import IN_DISTRIBUTION

METRICS = REPORT_FILE.with_name("metrics.json")
PLOTS = REPORT_FILE.with_name("plots")
Points = Iterator[tuple[Any, float | None]]


def write_dvc_summary(root: Path, tasks: Sequence[tuple[TaskResults, list[ComparisonRow]]]) -> None:
    """Write ``report/metrics.json`` and ``report/plots/<plot>/<task>.csv``, each over all seeds.

    ``tasks``: the results of each, and its rows of the comparison.
    """
    write_json(root / METRICS, {task.task: main_figures(task, rows) for task, rows in tasks})
    for plot, (columns, points) in _PLOTS.items():
        for task, _ in tasks:
            rows = [
                dict(zip(columns, point, strict=True)) | {"variant": variant}
                for variant, seeds in _by_variant(task).items()
                for point in points(seeds)
            ]
            if rows:
                write_csv(root / PLOTS / plot / f"{task.task}.csv", [*columns, "variant"], rows)


def main_figures(task: TaskResults, compared: list[ComparisonRow]) -> dict[str, dict[str, float | None]]:
    """Return the figures that the terminal shows, by their name in comparison.csv and by variant: means over seeds.

    Left out is what has no better or worse, the minutes, which differ in every run.
    """
    rows = {row.name: row for row in compared}
    shown = [rows[name] for name in wording_of(task.kind).main if name in rows and rows[name].better]
    return {row.name: {variant: _finite(value) for variant, value in row.values.items()} for row in shown}


def _by_variant(task: TaskResults) -> dict[str, list[VariantResults]]:
    return {variant: [one.variants[variant] for one in (task, *task.repeats)] for variant in task.variants}


def _held_out_nll(seeds: list[VariantResults]) -> Points:
    """Yield step and bits per dimension on held-out crops, the mean over seeds."""
    found: dict[int, list[float]] = {}
    for result in seeds:
        for row in result.validation:
            found.setdefault(int(row["step"]), []).append(number(row["bits_per_dim"]))
    for step, values in sorted(found.items()):
        yield step, _finite(statistics.fmean(values))


def _feature_variance(seeds: list[VariantResults]) -> Points:
    """Yield layer and log10 of the variance after it, the largest of any stress input over that on photographs.

    The mean over seeds; nothing where at any seed a variance is not finite.
    """
    found: dict[int, list[float]] = {}
    for result in seeds:
        layers: dict[int, dict[str, float]] = {}
        for row in result.tables.get(VARIANCE_TABLE, []):
            layers.setdefault(int(row["index"]), {})[row["condition"]] = number(row["variance"])
        for layer, variances in layers.items():
            usual = variances.pop(IN_DISTRIBUTION, math.nan)
            found.setdefault(layer, []).append(_log10(variances.values()) - _log10([usual]))
    for layer, ratios in sorted(found.items()):
        yield layer, _finite(statistics.fmean(ratios))


def _stress_shares(seeds: list[VariantResults]) -> Points:
    """Yield a kind of stress input and the share of bad values in percent, over all of its inputs and seeds."""
    bad: dict[str, float] = {}
    values: dict[str, float] = {}
    for row in (row for result in seeds for row in result.tables.get(STRESS_TABLE, [])):
        kind, count = row["kind"].replace("_", " "), number(row["values"])
        bad[kind] = bad.get(kind, 0.0) + number(row["bad_share"]) * count
        values[kind] = values.get(kind, 0.0) + count
    for kind, count in values.items():
        yield kind, 100 * bad[kind] / count


# plot -> the two columns of its tables, and what yields their values for one variant
_PLOTS: dict[str, tuple[tuple[str, str], Callable[[list[VariantResults]], Points]]] = {
    "held_out_nll": (("step", "bits_per_dim"), _held_out_nll),
    "feature_variance": (("layer", "log10_ratio"), _feature_variance),
    "stress_shares": (("stress_input", "bad_percent"), _stress_shares),
}


def _log10(variances: Iterable[float]) -> float:
    """Return log10 of the largest, NaN if any is not finite or all are zero."""
    found = list(variances)
    finite = bool(found) and all(map(math.isfinite, found))
    return math.log10(max(found)) if finite and max(found) > 0 else math.nan


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
