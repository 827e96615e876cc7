"""Plots of the report and of MLflow: pure functions that return a matplotlib Figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.reporting.results import Rows, number
from pipeline.reporting.style import styled, subplots, variant_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 600  # per line: more cannot be seen


@styled
def training_curves(curves: Mapping[str, Rows], validations: Mapping[str, Rows], title: str = "") -> Figure:
    """Plot nll (bits per dimension; training faint, held-out crops strong) and gradient norm against steps."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure, (left, right) = subplots(1, 2, (9.6, 3.8))
    colours = variant_colours(list(curves))
    for variant, colour in colours.items():
        step, bits = columns(curves[variant], "step", "bits_per_dim")
        left.plot(step, bits, color=colour, alpha=0.35, linewidth=1)
        step, bits = columns(validations.get(variant, []), "step", "bits_per_dim")
        left.plot(step, bits, color=colour, marker="o", markersize=3, linewidth=1.6, label=variant)
        step, norm = columns(curves[variant], "step", "gradient_norm")
        right.plot(step, norm, color=colour, linewidth=1, label=variant)
    left.set(title="Negative log-likelihood", xlabel="optimiser step", ylabel="bits per dimension")
    right.set(title="Gradient norm before clipping", xlabel="optimiser step", ylabel="L2 norm", yscale="log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    right.yaxis.set_minor_locator(NullLocator())
    handles, names = left.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        title="with dots: held-out crops; faint: training",
        title_fontsize=8,
        loc="outside lower center",
        ncols=max(1, len(names)),
    )
    figure.suptitle(title)
    return figure


def columns(rows: Rows, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two columns as numbers, thinned to what can be seen."""
    thinned = rows[:: max(1, len(rows) // _POINTS)]
    return np.array([number(row[x]) for row in thinned]), np.array([number(row[y]) for row in thinned])
