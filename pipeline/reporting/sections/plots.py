"""The plots of every analysis that has no section of its own."""

from __future__ import annotations

import functools

from pipeline.reporting.sections.contract import Shown, TaskSection
from pipeline.reporting.view import TaskView
from pipeline.stability.analyses import ANALYSES
from pipeline.stability.analyses.bad_pixels import BadPixels
from pipeline.stability.contract import Analysis

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
    return {"plots": drawn} if drawn else None
