"""What the sections of the report look at: the results, with all rows and figures made from them, each made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Params
from pipeline.reporting import figures
from pipeline.reporting.plots import Drawn, draw
from pipeline.reporting.results import TaskResults, load_results
from pipeline.reporting.rows import ComparisonRow
from pipeline.reporting.style import to_png
from pipeline.reporting.tables import task_rows
from pipeline.reporting.wording import wording_of
from pipeline.stability.analyses import ANALYSES

TRAINING_CURVES = "training_curves"


@dataclass(frozen=True)
class TaskView:
    """One task over its variants and seeds; a plot whose stage has not run is left out."""

    params: Params
    results: TaskResults
    tasks: int  # of the page, which share its size
    rows: list[ComparisonRow]
    plots: dict[str, Drawn]  # by name

    @property
    def name(self) -> str:
        """Return the task's name."""
        return self.results.task

    @property
    def title(self) -> str:
        """Return what is restored, in words."""
        return wording_of(self.results.kind).title.format(scale=self.params.tasks[self.name].scale)


@dataclass(frozen=True)
class PageView:
    """The whole page; ``root``: the project's folder."""

    root: Path
    params: Params
    tasks: list[TaskView]


def load_view(root: Path, params: Params) -> PageView:
    """Return what there is of all tasks of ``params``. Raises DataError for a file that cannot be read."""
    every = load_results(root, params)
    return PageView(root, params, [task_view(results, params, len(every)) for results in every])


def task_view(results: TaskResults, params: Params, tasks: int = 1) -> TaskView:
    """Return the rows and the plots of one task of a page with ``tasks`` of them."""
    title = f"{results.task}, {params.profile} profile"
    plots: dict[str, Drawn] = {}
    if trained := {variant: result for variant, result in results.variants.items() if result.curve}:
        lines = {variant: result.curve for variant, result in trained.items()}
        held_out = {variant: result.validation for variant, result in trained.items()}
        plots[TRAINING_CURVES] = Drawn(to_png(figures.training_curves(lines, held_out, title)))
    for plot in (plot for analysis in ANALYSES.values() for plot in analysis.plots):
        if drawn := draw(plot, results, title):
            plots[plot.name] = drawn
    return TaskView(params, results, tasks, task_rows(results), plots)
