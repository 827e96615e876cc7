"""The plots of the report and of MLflow: pure functions of rows, each returns a matplotlib Figure.

Colours are the Okabe-Ito set, which people with any kind of colour vision can tell apart; a variant keeps its
colour in every plot.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from pipeline.reporting.results import Rows, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
IN_DISTRIBUTION = "in_distribution"
_CONDITION_TITLES = {IN_DISTRIBUTION: "held-out photographs"}
_VARIANT_COLOURS = {"affine": "#D55E00", "bounded": "#E69F00", "rq_spline": "#0072B2", "certified_spline": "#009E73"}
_SPARE_COLOURS = ("#CC79A7", "#56B4E9", "#7F7F7F", "#000000")
_KIND_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8C6D31", "#7F7F7F")
_LINE_STYLES = ("-", "--", ":", "-.")
_HIGHEST = 1e12  # of the axis of variances; beyond it, how large hardly matters and nothing else could be seen
_BAND = 0.78  # where, as a share of the panel's height, the marks for what is above the axis begin
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


def _styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in our style without changing matplotlib's global settings."""

    @functools.wraps(plot)
    def styled(*arguments: P.args, **options: P.kwargs) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return plot(*arguments, **options)

    return styled


def variant_colours(variants: Sequence[str]) -> dict[str, str]:
    """Return one colour per variant; the papers' variants have fixed ones."""
    spare = [name for name in variants if name not in _VARIANT_COLOURS]
    own = {name: _SPARE_COLOURS[i % len(_SPARE_COLOURS)] for i, name in enumerate(spare)}
    return {name: _VARIANT_COLOURS.get(name) or own[name] for name in variants}


@_styled
def training_curves(curves: Mapping[str, Rows], validations: Mapping[str, Rows], title: str = "") -> Figure:
    """Plot nll (bits per dimension; training faint, held-out crops strong) and gradient norm against steps."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure, (left, right) = _subplots(1, 2, (9.6, 3.8))
    colours = variant_colours(list(curves))
    for variant, colour in colours.items():
        step, bits = _columns(curves[variant], "step", "bits_per_dim")
        left.plot(step, bits, color=colour, alpha=0.35, linewidth=1)
        step, bits = _columns(validations.get(variant, []), "step", "bits_per_dim")
        left.plot(step, bits, color=colour, marker="o", markersize=3, linewidth=1.6, label=variant)
        step, norm = _columns(curves[variant], "step", "gradient_norm")
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


@_styled
def feature_variance(rows: Mapping[str, Rows], title: str = "") -> Figure:
    """Plot the variance after every layer of the inverse pass (paper A, Fig. 3), one panel per variant.

    Stress inputs of one kind share a colour. The axis ends at ``_HIGHEST``; in the band above it every kind has a
    line of its own, where a triangle marks a variance above the axis and a cross one that is not finite.
    """
    figure, axes = _subplots(1, len(rows), (max(4.8, 3.3 * len(rows)), 4.2), sharey=True)
    conditions = list(dict.fromkeys(row["condition"] for table in rows.values() for row in table))
    styles = _kind_styles([kind_of(condition) for condition in conditions])
    drawn: list[np.ndarray] = []
    for axis, (variant, table) in zip(axes, rows.items(), strict=True):
        for condition in conditions:
            style = styles[kind_of(condition)]
            layer, variance = _columns([row for row in table if row["condition"] == condition], "index", "variance")
            above = np.isfinite(variance) & (variance > _HIGHEST)
            shown = np.where(np.isfinite(variance) & (variance > 0) & ~above, variance, np.nan)
            axis.plot(layer, shown, **style)
            drawn.append(shown)
            line = 0.98 - (1 - _BAND) * 0.9 * list(styles).index(kind_of(condition)) / len(styles)
            for layers, marker in ((layer[above], "^"), (layer[~np.isfinite(variance)], "x")):
                _mark(axis, layers, line, marker, style["color"])
        axis.set(title=variant, yscale="log")
        _mark_levels(axis, [row for row in table if row["condition"] == conditions[0]])
    _end_axis(axes, drawn)
    axes[0].set_ylabel("variance of the features (log scale)")
    handles = [axes[0].plot([], [], **style)[0] for style in styles.values()]
    names = [_CONDITION_TITLES.get(kind, kind.replace("_", " ")) for kind in styles]
    figure.legend(handles, names, loc="outside lower center", ncols=min(5, max(1, len(names))))
    figure.suptitle(title)
    return figure


def kind_of(condition: str) -> str:
    """Return the kind of a stress input: its name without the number at its end."""
    return re.sub(r"_\d+$", "", condition)


@_styled
def stress_shares(shares: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Plot the share of bad values (percent) per kind of stress input; ``shares[variant][kind]`` in [0, 1]."""
    names = list(dict.fromkeys(name for table in shares.values() for name in table))
    figure, (axis,) = _subplots(1, 1, (9.6, 3.2))
    width = 0.8 / max(1, len(shares))
    for i, (variant, colour) in enumerate(variant_colours(list(shares)).items()):
        heights = [100 * shares[variant].get(name, float("nan")) for name in names]
        bars = axis.bar(np.arange(len(names)) + i * width, heights, width, color=colour, label=variant)
        axis.bar_label(bars, fmt="%.3g", fontsize=7, padding=2, rotation=90)
    middle = np.arange(len(names)) + width * (len(shares) - 1) / 2
    axis.set_xticks(middle, [name.replace("_", " ") for name in names])
    axis.grid(visible=False, axis="x")
    axis.set(ylabel="share of bad values (%)", ylim=(0, 116), yticks=range(0, 101, 20))
    figure.legend(loc="outside lower center", ncols=len(shares))
    figure.suptitle(f"{title}: bad values on stress inputs".removeprefix(": "))
    return figure


def to_png(figure: Figure, dots_per_inch: int = 150) -> bytes:
    """Return ``figure`` as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white")
    return buffer.getvalue()


def _subplots(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure without pyplot, whose global state would keep every figure alive."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.ravel())


def _columns(rows: Rows, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two columns as numbers, thinned to what can be seen."""
    thinned = rows[:: max(1, len(rows) // _POINTS)]
    return np.array([number(row[x]) for row in thinned]), np.array([number(row[y]) for row in thinned])


def _kind_styles(kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return one look per kind of input: in-distribution first, black and strong, stress inputs by colour and dash."""
    stress = [kind for kind in dict.fromkeys(kinds) if kind != IN_DISTRIBUTION]
    count = len(_KIND_COLOURS)
    styles: dict[str, dict[str, Any]] = {
        kind: {
            "color": _KIND_COLOURS[i % count],
            "linestyle": _LINE_STYLES[i // count % len(_LINE_STYLES)],
            "linewidth": 1.0,
        }
        for i, kind in enumerate(stress)
    }
    return {IN_DISTRIBUTION: {"color": "black", "linewidth": 2.2, "zorder": 5}, **styles}


def _mark(axis: Axes, layers: np.ndarray, height: float, marker: str, colour: str) -> None:
    """Draw marks at ``height``, a share of the panel's."""
    heights = np.full(len(layers), height)
    transform = axis.get_xaxis_transform()
    axis.plot(layers, heights, linestyle="none", marker=marker, markersize=3, color=colour, transform=transform)


def _mark_levels(axis: Axes, rows: Rows) -> None:
    """Name the levels of the network on the x-axis, a line between two; layers without a level get numbers."""
    levels: dict[str, list[float]] = {}
    for row in rows:
        if found := re.match(r"level \d+", row["layer"]):
            levels.setdefault(found[0], []).append(number(row["index"]))
    axis.set_xlabel("layer of the inverse pass, from latent to picture")
    if not levels:
        return
    axis.grid(visible=False, axis="x")
    axis.set_xticks([(min(layers) + max(layers)) / 2 for layers in levels.values()], list(levels))
    axis.tick_params(axis="x", length=0)
    for layers in list(levels.values())[1:]:
        axis.axvline(min(layers) - 0.5, color="#BBBBBB", linewidth=0.8, zorder=0)


def _end_axis(axes: Sequence[Axes], drawn: list[np.ndarray]) -> None:
    """End the shared axis at what is drawn, ``_HIGHEST`` at most, and leave a band for the marks above it."""
    values = np.concatenate([*drawn, [1.0]])
    low, high = np.log10(np.nanmin(values)), np.log10(np.nanmax(values))
    low, high = np.floor(low), np.ceil(high)
    top = low + (high - low + 0.5) / _BAND
    step = max(1, int((high - low) // 6))
    for axis in axes:
        axis.set(ylim=(10 ** (low - 0.3), 10**top), yticks=10.0 ** np.arange(low, high + 1, step))
        axis.minorticks_off()
        axis.axhline(10 ** (high + 0.25), color="#7F7F7F", linewidth=0.8)
    axes[-1].annotate(
        "above the axis (triangle)\nnot finite (cross)",
        (0.02, _BAND + 0.04),
        xycoords="axes fraction",
        fontsize=7,
        color="#555555",
    )
