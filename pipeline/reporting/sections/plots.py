"""The plots and the pictures of every analysis that has no section of its own."""

from __future__ import annotations

import functools

from pipeline.reporting.pictures import audit_pictures
from pipeline.reporting.sections.contract import Shown, TaskSection
from pipeline.reporting.view import TaskView
from pipeline.stability.analyses import ANALYSES
from pipeline.stability.analyses.bad_pixels import BadPixels
from pipeline.stability.contract import Analysis

_BYTES = 2_000_000  # of one picture of an analysis, over all tasks and variants
_ELSEWHERE = (BadPixels,)  # in the section on stress inputs


def plot_sections() -> list[TaskSection]:
    """Return a section for each of them, in the order of ANALYSES."""
    return [
        TaskSection(
            name=analysis.name,
            title=analysis.title,
            link=analysis.title[0].lower() + analysis.title[1:],
            partial="plots",
            show=functools.partial(_show, analysis),
        )
        for analysis in ANALYSES.values()
        if analysis not in _ELSEWHERE
    ]


def _show(analysis: type[Analysis], task: TaskView) -> Shown | None:
    drawn = [(plot, task.plots[plot.name]) for plot in analysis.plots if plot.name in task.plots]
    left = [(said, *audit_pictures(task.results, said, _BYTES // task.tasks)) for said in analysis.shown]
    pictures = [(said, shown, in_all) for said, shown, in_all in left if shown]
    return {"plots": drawn, "pictures": pictures} if drawn or pictures else None
