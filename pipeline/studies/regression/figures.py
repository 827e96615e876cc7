"""The regression's figures: loss, error, condition number along training (Fig. 13), points there and back (Fig. 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.reporting.style import styled, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")
_PANELS = {"mse": "mean squared error", "error_largest": "largest |x - F⁻¹(F(x))|", "condition": "condition number"}
_EDGE = 5.0  # of the pictures of points; what lies beyond stands there


@styled
def along_training(runs: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Figure:
    """Plot the panels of Fig. 13: the median over seeds as a line, all seeds as a band.

    ``runs[name]``: per seed the measures along training, ``step`` among them; a value that is not there is a gap.
    """
    figure, axes = subplots(1, len(_PANELS), (9.6, 3.2))
    for axis, (key, title) in zip(axes, _PANELS.items(), strict=True):
        for (name, seeds), colour in zip(runs.items(), _COLOURS, strict=False):
            steps = [row["step"] for row in seeds[0]]
            columns = list(zip(*[[row.get(key, math.inf) for row in seed] for seed in seeds], strict=True))
            axis.plot(steps, _finite(median(column) for column in columns), color=colour, label=name)
            low, high = (_finite(choose(column) for column in columns) for choose in (min, max))
            axis.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        axis.set(xlabel="step", ylabel=title, yscale="log")
    axes[0].legend()
    return figure


@styled
def points(clouds: Mapping[str, Mapping[str, Sequence[Sequence[float | None]]]]) -> Figure:
    """Plot per coefficient inputs and reconstructions, and outputs below, as Fig. 6; outside points on the edge.

    ``clouds[name]``: "x", "back" and "z", lists of points of one seed.
    """
    figure, axes = subplots(2, len(clouds), (3.2 * len(clouds), 6.2))
    top, bottom = axes[: len(clouds)], axes[len(clouds) :]
    for (name, own), upper, lower in zip(clouds.items(), top, bottom, strict=True):
        _scatter(upper, own["x"], s=7, color="#999999", label="x")
        _scatter(upper, own["back"], s=2, color="#D55E00", label="F⁻¹(F(x))")
        upper.set(title=name, xlabel="x₁", xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE), aspect="equal")
        _scatter(lower, own["z"], s=3, color="#0072B2")
        lower.set(xlabel="F(x)₁", ylim=(-_EDGE, _EDGE))
        lower.locator_params("x", nbins=4)
    top[0].set_ylabel("x₂")
    bottom[0].set_ylabel("F(x)₂")
    top[0].legend(loc="upper left", markerscale=2)
    return figure


def _finite(values: Any) -> list[float]:
    return [value if math.isfinite(value) else math.nan for value in values]


def _scatter(axis: Axes, cloud: Sequence[Sequence[float | None]], **how: Any) -> None:
    found = np.array([[math.nan if v is None else v for v in point] for point in cloud])
    across, up = found.clip(-_EDGE, _EDGE).T
    axis.scatter(across, up, linewidths=0, **how)
