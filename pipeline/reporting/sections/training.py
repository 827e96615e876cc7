"""How training went."""

from __future__ import annotations

from pipeline.reporting.sections.contract import Shown, TaskSection
from pipeline.reporting.view import TRAINING_CURVES, TaskView


def _show(task: TaskView) -> Shown | None:
    drawn = task.plots.get(TRAINING_CURVES)
    return {"drawn": drawn, "noise": task.results.settings.training.noise_std} if drawn else None


TRAINING = TaskSection(name="training", title="Training", link="training", show=_show)
