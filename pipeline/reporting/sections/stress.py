"""What draws make of stress inputs: shares of bad values, the largest ones, pictures of the worst."""

from __future__ import annotations

from typing import Any

from pipeline.reporting.pictures import stress_pictures
from pipeline.reporting.results import TaskResults, number
from pipeline.reporting.rows import show
from pipeline.reporting.sections.contract import Shown, TaskSection
from pipeline.reporting.view import TaskView
from pipeline.stability.analyses.bad_pixels import STRESS_TABLE, BadPixels

_BYTES = 2_500_000  # of all tasks together


def _show(task: TaskView) -> Shown | None:
    (plot,) = BadPixels.plots
    inputs = _inputs(task.results)
    if not inputs:
        return None
    pictures, kinds = stress_pictures(task.results, _BYTES // task.tasks)
    return {"plot": plot, "drawn": task.plots[plot.name], "inputs": inputs, "pictures": pictures, "kinds": kinds}


def _inputs(results: TaskResults) -> dict[str, dict[str, dict[str, Any]]]:
    """Return per stress input, per variant: share of bad values in percent, non-finite count, largest value."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for variant, result in results.variants.items():
        for row in result.tables[STRESS_TABLE]:
            table.setdefault(row["name"], {})[variant] = {
                "share": 100 * number(row["bad_share"]),
                "nonfinite": int(row["nonfinite_values"]),
                "largest": show(number(row["largest"])) if row["largest"] else "none finite",
            }
    return table


STRESS = TaskSection(name="stress", title="Stress inputs", link="stress inputs", show=_show)
