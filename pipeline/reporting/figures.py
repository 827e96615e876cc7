"""How plots of the report and of MLflow look, and the one of training: pure functions that return a matplotlib Figure.

Colours are the Okabe-Ito set, which people with any kind of colour vision can tell apart; a variant keeps its
colour in every plot.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from pipeline.reporting.results import Rows, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
_VARIANT_COLOURS = {"affine": "#D55E00", "bounded": "#E69F00", "rq_spline": "#0072B2", "certified_spline": "#009E73"}
_SPARE_COLOURS = ("#CC79A7", "#56B4E9", "#7F7F7F", "#000000")
_POINTS = 600  # per line: more cannot be seen
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "legend.fontsize": 8,
}


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in our style without changing matplotlib's global settings."""

    @functools.wraps(plot)
    def drawn(*arguments: P.args, **options: P.kwargs) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return plot(*arguments, **options)

    return drawn


def variant_colours(variants: Sequence[str]) -> dict[str, str]:
    """Return one colour per variant; the papers' variants have fixed ones."""
    spare = [name for name in variants if name not in _VARIANT_COLOURS]
    own = {name: _SPARE_COLOURS[i % len(_SPARE_COLOURS)] for i, name in enumerate(spare)}
    return {name: _VARIANT_COLOURS.get(name) or own[name] for name in variants}


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


def to_png(figure: Figure, dots_per_inch: int = 150) -> bytes:
    """Return ``figure`` as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white")
    return buffer.getvalue()


def subplots(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure without pyplot, whose global state would keep every figure alive."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.ravel())


def columns(rows: Rows, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two columns as numbers, thinned to what can be seen."""
    thinned = rows[:: max(1, len(rows) // _POINTS)]
    return np.array([number(row[x]) for row in thinned]), np.array([number(row[y]) for row in thinned])
