"""All numbers of a task, variants side by side."""

from __future__ import annotations

from pipeline.reporting.paper_figures import PAPER_TABLES
from pipeline.reporting.rows import ComparisonRow
from pipeline.reporting.sections.contract import Shown, TaskSection
from pipeline.reporting.tables import group_headings
from pipeline.reporting.verdicts import agreement
from pipeline.reporting.view import TaskView
from pipeline.reporting.wording import wording_of


def _show(task: TaskView) -> Shown | None:
    groups: dict[str, list[ComparisonRow]] = {}
    for row in task.rows:
        groups.setdefault(row.group, []).append(row)
    if not groups:
        return None
    return {
        "groups": groups,
        "headings": group_headings(task.results),
        "baseline": wording_of(task.results.kind).baseline,
        "paper": PAPER_TABLES.get(task.name),
        "agreement": agreement([task.results]),
        "reasons": [(row.title, variant, reason) for row in task.rows for variant, reason in row.reasons.items()],
    }


COMPARISON = TaskSection(name="comparison", title="Comparison", link="comparison", show=_show)
