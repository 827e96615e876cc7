"""The plot of a search: stability against quality, the Pareto front and the winner marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.config import SearchConfig
from pipeline.reporting.style import styled, subplots
from pipeline.searches.judging import axes, front, winner
from pipeline.searches.trial import FINISHED, Result, SearchTrial, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#7F7F7F", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_WIDE = 30.0  # stabilities that differ by so much are drawn on a logarithmic axis


@styled
def tradeoff(config: SearchConfig, trials: Sequence[SearchTrial], results: Sequence[Result]) -> Figure:
    """Plot a point per finished trial, alike where they have the same value at the place that is told apart by.

    A trial without a finite stability stands at the right edge; one without quality is not drawn.
    """
    figure, (axis,) = subplots(1, 1, (6.4, 4.4))
    points = [_point(config, result) for result in results]
    there = [x for x, _ in points if math.isfinite(x)]
    if there and min(there) > 0 and max(there) > _WIDE * min(there):
        axis.set_xscale("log")
    edge: Any = axis.get_yaxis_transform()
    kinds = [_kind(trial) for trial in trials]
    for number, kind in enumerate(dict.fromkeys(kinds)):
        colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)]
        own = [point for point, other in zip(points, kinds, strict=True) if other == kind]
        axis.plot(*zip(*own, strict=True), mark, color=colour, markersize=6, alpha=0.85, label=kind)
        lost = [y for x, y in own if not math.isfinite(x)]
        (at_edge,) = axis.plot([1.0] * len(lost), lost, mark, color=colour, clip_on=False, transform=edge)
        at_edge.set_in_layout(False)  # what may lie outside of the axes would push them aside
    best = sorted(points[number] for number in front(config, results))
    line = {"color": "black", "linewidth": 1.0, "markersize": 11, "fillstyle": "none"}
    axis.plot([x for x, _ in best], [y for _, y in best], "o-", label="Pareto front", **line)  # type: ignore[arg-type]
    if (first := winner(config, results)) is not None:
        axis.plot(*([value] for value in points[first]), "*", color="black", markersize=8, label="winner")
    quality, stability = axes(config)
    axis.set(xlabel=_said(config, stability), ylabel=_said(config, quality))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _point(config: SearchConfig, result: Result) -> tuple[float, float]:
    """Return stability and quality, NaN where there is none: matplotlib leaves such points out."""
    quality, stability = (
        value if result.status == FINISHED and (value := result.values.get(name)) is not None else math.nan
        for name in axes(config)
    )
    return stability, quality


def _kind(trial: SearchTrial) -> str:
    """Return the trial's value at the place with the regularizer if that is varied, else at the first place."""
    place = next((place for place in trial.values if place.endswith("regularizer")), next(iter(trial.values)))
    return f"{place.rpartition('.')[2]} {shown(trial.values[place])}"


def _said(config: SearchConfig, name: str) -> str:
    better = {"max": "higher", "min": "lower"}[config.metrics[name]]
    return f"{name.replace('_', ' ')} ({better} is better)"
