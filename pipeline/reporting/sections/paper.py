"""The tables that paper A printed, with our rows beside them."""

from __future__ import annotations

from typing import Any

from pipeline.reporting.paper_figures import NOTES, PAPER_TABLES
from pipeline.reporting.sections.contract import PageSection, Shown
from pipeline.reporting.tables import paper_rows
from pipeline.reporting.view import PageView


def _show(page: PageView) -> Shown | None:
    """Return paper A's tables by number: our tasks of each with the rows that the paper printed."""
    tables: dict[int, dict[str, Any]] = {}
    for task in page.tasks:
        if rows := paper_rows(task.results, task.rows):
            paper = PAPER_TABLES[task.name]
            table = tables.setdefault(paper.number, {"note": NOTES[paper.number], "tasks": []})
            table["tasks"].append({"name": task.name, "demo": task.results.demo, "rows": rows, "paper": paper})
    return {"tables": dict(sorted(tables.items()))} if tables else None


PAPER = PageSection(name="paper", title="The published tables, ours beside them", show=_show, labelled=True)
