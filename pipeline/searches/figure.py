"""The plot of a search: stability against quality, the Pareto front and the winner marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.config import SearchConfig
from pipeline.reporting.style import styled, subplots
from pipeline.searches.judging import axes, front, winner
from pipeline.searches.trial import FINISHED, Result, SearchTrial, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#7F7F7F", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_WIDE = 30.0  # values that differ by so much are drawn on a logarithmic axis


@styled
def tradeoff(config: SearchConfig, trials: Sequence[SearchTrial], results: Sequence[Result]) -> Figure:
    """Plot a point per finished trial, of one look per value at the first place that the search varies.

    A trial without a finite stability stands at the edge; one without quality is not drawn.
    """
    quality, stability = axes(config)
    figure, (axis,) = subplots(1, 1, (6.4, 4.2))
    kinds = list(dict.fromkeys(_kind(trial) for trial in trials))
    for place, kind in enumerate(kinds):
        look = {"color": _COLOURS[place % len(_COLOURS)], "marker": _MARKS[place % len(_MARKS)]}
        own = [result for trial, result in zip(trials, results, strict=True) if _kind(trial) == kind]
        points = [_point(result, stability, quality) for result in own]
        there = [(x, y) for x, y in points if x is not None and y is not None]
        axis.plot(*_columns(there), linestyle="none", markersize=6, alpha=0.85, label=kind, **look)
        lost = [y for x, y in points if x is None and y is not None]
        axis.plot(
            [1.0] * len(lost), lost, linestyle="none", clip_on=False, transform=axis.get_yaxis_transform(), **look
        )
    _mark_best(axis, config, results)
    values = [x for x, _ in (_point(result, stability, quality) for result in results) if x is not None]
    if values and min(values) > 0 and max(values) > _WIDE * min(values):
        axis.set_xscale("log")
    axis.set(xlabel=_said(config, stability), ylabel=_said(config, quality))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _mark_best(axis: Axes, config: SearchConfig, results: Sequence[Result]) -> None:
    quality, stability = axes(config)
    best = sorted(_point(results[number], stability, quality) for number in front(config, results))
    axis.plot(
        *_columns(best), color="black", linewidth=1.0, marker="o", markersize=11, fillstyle="none", label="Pareto front"
    )
    if (number := winner(config, results)) is not None:
        x, y = _point(results[number], stability, quality)
        axis.plot([x], [y], linestyle="none", color="black", marker="*", markersize=8, label="winner")  # type: ignore[list-item]


def _columns(points: Sequence[tuple[float | None, float | None]]) -> tuple[list[float | None], list[float | None]]:
    return [x for x, _ in points], [y for _, y in points]


def _point(result: Result, *names: str) -> tuple[float | None, float | None]:
    x, y = (result.values.get(name) if result.status == FINISHED else None for name in names)
    return x, y


def _kind(trial: SearchTrial) -> str:
    place, value = next(iter(trial.values.items()))
    return f"{place.rpartition('.')[2]} {shown(value)}"


def _said(config: SearchConfig, name: str) -> str:
    better = {"max": "higher", "min": "lower"}[config.metrics[name]]
    return f"{name.replace('_', ' ')} ({better} is better)"
