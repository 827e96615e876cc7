"""Held-out pictures and what every variant made of them."""

from __future__ import annotations

from pipeline.reporting.pictures import photographs
from pipeline.reporting.sections.contract import Shown, TaskSection
from pipeline.reporting.tables import how_drawn
from pipeline.reporting.view import TaskView

_BYTES = 7_000_000  # of all tasks together; with the plots of five tasks the page stays under 15 MB


def _show(task: TaskView) -> Shown | None:
    shown, in_all = photographs(task.results, _BYTES // task.tasks)
    return {"photographs": shown, "in_all": in_all, "drawn": how_drawn(task.results)} if shown else None


PICTURES = TaskSection(name="pictures", title="Held-out pictures", link="pictures", show=_show)
