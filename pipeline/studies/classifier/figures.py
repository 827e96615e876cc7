"""Two plots: stability along the training (paper B, Figs. 16 and 17), and gradients' angles (Fig. 18)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.reporting.style import styled, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, Sequence[Sequence[Mapping[str, float]]]]  # name -> per seed, rows along the training

_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#7F7F7F", "#CC79A7", "#E69F00")
_MARKS = ("o", "s", "^", "D", "v", "P")


@styled
def stability(curves: Curves) -> Figure:
    """Plot condition number, smallest singular value and reconstruction error along the training, a line per seed."""
    return _panels(
        curves,
        {
            "condition_worst": "condition number, worst picture",
            "least": "smallest singular value",
            "reconstruction": "reconstruction error, mean l2",
        },
    )


@styled
def angles(curves: Curves) -> Figure:
    """Plot the angle between true and memory-saving gradients along the training, in both precisions."""
    return _panels(
        curves,
        {
            "angle_float32": "angle in float32, radians",
            "angle_float64": "angle in float64, radians",
        },
    )


FIGURES: dict[str, Callable[[Curves], Figure]] = {"stability": stability, "angles": angles}


def _panels(curves: Curves, measures: Mapping[str, str]) -> Figure:
    figure, axes = subplots(1, len(measures), (3.3 * len(measures), 3.4))
    for axis, (measure, title) in zip(axes, measures.items(), strict=True):
        lost: dict[Any, Any] = {}
        for (name, seeds), colour, mark in zip(curves.items(), _COLOURS, _MARKS, strict=False):
            for number, rows in enumerate(seeds):
                label = name if number == 0 else None
                known = [(row["step"], row[measure]) for row in rows if row.get(measure, 0.0) > 0]
                place, height = zip(*known, strict=True) if known else ((), ())
                axis.plot(place, height, color=colour, marker=mark, markersize=3.5, linewidth=1.1, label=label)
                lost[name] = colour, [*lost.get(name, (colour, []))[1], *_missing(rows, measure)]
        axis.set(xlabel="step", yscale="log", title=title)
        _mark_lost(axis, lost)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return figure


def _missing(rows: Sequence[Mapping[str, float]], measure: str) -> list[float]:
    return [row["step"] for row in rows if measure not in row]


def _mark_lost(axis: Axes, lost: Mapping[str, tuple[str, Sequence[float]]]) -> None:
    """Put a cross at the upper edge where a value was not finite."""
    for colour, steps in lost.values():
        if steps:
            edge: Any = axis.get_xaxis_transform()
            axis.plot(steps, [1.0] * len(steps), "x", color=colour, transform=edge, clip_on=False, markersize=7)
