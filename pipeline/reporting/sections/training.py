"""How training went."""

from __future__ import annotations

from pipeline.reporting.results import TaskResults
from pipeline.reporting.sections.contract import Shown, TaskSection
from pipeline.reporting.view import TRAINING_CURVES, TaskView


def _show(task: TaskView) -> Shown | None:
    drawn = task.plots.get(TRAINING_CURVES)
    if not drawn:
        return None
    noise = task.results.settings.training.noise_std
    return {"drawn": drawn, "noise": noise, "collapsed": ", ".join(_collapsed(task.results))}


def _collapsed(results: TaskResults) -> list[str]:
    """Return the variants, with their seeds, whose training ended with a collapsed model."""
    every = [result for one in (results, *results.repeats) for result in one.variants.values()]
    return [f"{one.variant} (seed {one.seed})" for one in every if one.training and one.training.get("collapsed")]


TRAINING = TaskSection(name="training", title="Training", link="training", show=_show)
