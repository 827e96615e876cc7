"""How every figure looks: our colours and rules for matplotlib, which is loaded when something is drawn.

Colours are the Okabe-Ito set, which people with any kind of colour vision can tell apart; a variant keeps its
colour in every plot.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
_VARIANT_COLOURS = {"affine": "#D55E00", "bounded": "#E69F00", "rq_spline": "#0072B2", "certified_spline": "#009E73"}
_SPARE_COLOURS = ("#CC79A7", "#56B4E9", "#7F7F7F", "#000000")
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
