"""How the plots that analyses ask for are drawn: what they show is said in ``pipeline/stability/contract.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.reporting.figures import columns
from pipeline.reporting.pixels import data_uri
from pipeline.reporting.results import Rows, TaskResults, number
from pipeline.reporting.rows import ComparisonRow, over_seeds
from pipeline.reporting.style import styled, subplots, to_png, variant_colours
from pipeline.stability.contract import Bars, Curves, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GROUP_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8C6D31", "#7F7F7F")
_LINE_STYLES = ("-", "--", ":", "-.")
_HIGHEST = 1e12  # of a logarithmic axis; beyond it, how large hardly matters and nothing else could be seen
_BAND = 0.78  # where, as a share of the panel's height, the marks for what is above the axis begin
_READING = (
    "The axis ends at 1e12 at most; in the band above it, a triangle marks a larger value and a cross one that is not "
    "finite, one line of marks per entry of the legend."
)


@dataclass(frozen=True)
class Drawn:
    """A plot of one task, with the numbers of its bars and how to read it."""

    png: bytes
    rows: list[ComparisonRow] = field(default_factory=list)
    reading: str = ""

    @property
    def uri(self) -> str:
        """Return the picture as a data URI."""
        return data_uri(self.png, "png")


def draw(plot: Plot, results: TaskResults, title: str) -> Drawn | None:
    """Return ``plot`` of one task, None where no variant has its table."""
    return _DRAWN[type(plot)](plot, results, title)


def _draw_curves(plot: Curves, results: TaskResults, title: str) -> Drawn | None:
    tables = {variant: result.tables[plot.table] for variant, result in results.variants.items()}
    filled = {variant: rows for variant, rows in tables.items() if rows}
    reference = f"Black: {plot.reference_title}. " if plot.reference else ""
    reading = reference + (_READING if plot.log else "")
    return Drawn(to_png(curves(plot, filled, title)), reading=reading) if filled else None


def _draw_bars(plot: Bars, results: TaskResults, title: str) -> Drawn | None:
    rows = bar_rows(plot, results)
    return Drawn(to_png(bars(plot, rows, title)), rows) if rows else None


_DRAWN: dict[type, Callable[[Any, TaskResults, str], Drawn | None]] = {Curves: _draw_curves, Bars: _draw_bars}


@styled
def curves(plot: Curves, tables: Mapping[str, Rows], title: str = "") -> Figure:
    """Draw ``plot`` of the rows of each variant, one panel per variant.

    A linear axis holds all values. A logarithmic one ends at ``_HIGHEST``; in the band above it every group has a line
    of its own, where a triangle marks a value above the axis and a cross one that is not finite.
    """
    figure, axes = subplots(1, len(tables), (max(4.8, 3.3 * len(tables)), 4.2), sharey=True)
    groups = {row[plot.line]: row[plot.group] for table in tables.values() for row in table}
    styles = _group_styles(plot, list(groups.values()))
    drawn: list[np.ndarray] = []
    for axis, (variant, table) in zip(axes, tables.items(), strict=True):
        for line, group in groups.items():
            style = styles[group]
            x, y = columns([row for row in table if row[plot.line] == line], plot.x, plot.y)
            if not plot.log:
                axis.plot(x, y, **style)
                continue
            above = np.isfinite(y) & (y > _HIGHEST)
            shown = np.where(np.isfinite(y) & (y > 0) & ~above, y, np.nan)
            axis.plot(x, shown, **style)
            drawn.append(shown)
            height = 0.98 - (1 - _BAND) * 0.9 * list(styles).index(group) / len(styles)
            for places, marker in ((x[above], "^"), (x[~np.isfinite(y)], "x")):
                _mark(axis, places, height, marker, style["color"])
        axis.set(title=variant, yscale="log" if plot.log else "linear", xlabel=plot.x_title)
        first = next(iter(groups))
        _name_stretches(axis, plot, [row for row in table if row[plot.line] == first])
    if plot.log:
        _end_axis(axes, drawn)
    axes[0].set_ylabel(f"{plot.y_title} (log scale)" if plot.log else plot.y_title)
    handles = [axes[0].plot([], [], **style)[0] for style in styles.values()]
    names = [plot.reference_title if group == plot.reference else group.replace("_", " ") for group in styles]
    figure.legend(handles, names, loc="outside lower center", ncols=min(5, max(1, len(names))))
    figure.suptitle(title)
    return figure


@styled
def bars(plot: Bars, rows: Sequence[ComparisonRow], title: str = "") -> Figure:
    """Draw ``bar_rows`` of ``plot``: a group of bars per row, a bar per variant that has any value."""
    variants = [v for v in (rows[0].values if rows else ()) if any(row.values[v] is not None for row in rows)]
    figure, (axis,) = subplots(1, 1, (9.6, 3.2))
    width = 0.8 / max(1, len(variants))
    for i, (variant, colour) in enumerate(variant_colours(variants).items()):
        values = [row.values[variant] for row in rows]
        heights = [float("nan") if value is None else value for value in values]
        drawn = axis.bar(np.arange(len(rows)) + i * width, heights, width, color=colour, label=variant)
        axis.bar_label(drawn, fmt="%.3g", fontsize=7, padding=2, rotation=90)
    middle = np.arange(len(rows)) + width * (len(variants) - 1) / 2
    axis.set_xticks(middle, [row.title for row in rows])
    axis.grid(visible=False, axis="x")
    axis.set(ylabel=f"{plot.value_title} (%)", ylim=(0, 116), yticks=range(0, 101, 20))
    figure.legend(loc="outside lower center", ncols=len(variants))
    figure.suptitle(f"{title}: {plot.title}".removeprefix(": "))
    return figure


def bar_rows(plot: Bars, results: TaskResults) -> list[ComparisonRow]:
    """Return what ``plot`` shows, in percent over the seeds: one row per group; empty without any table."""
    return over_seeds(_rows_of_a_seed(plot, one) for one in (results, *results.repeats))


def _rows_of_a_seed(plot: Bars, results: TaskResults) -> list[ComparisonRow]:
    means = {variant: _means(plot, result.tables[plot.table]) for variant, result in results.variants.items()}
    groups = list(dict.fromkeys(group for table in means.values() for group in table))
    percent = {g: {v: 100 * table[g] if g in table else None for v, table in means.items()} for g in groups}
    return [ComparisonRow(results.task, "", g, g.replace("_", " "), "%", "lower", percent[g]) for g in groups]


def _means(plot: Bars, rows: Rows) -> dict[str, float]:
    """Return the weighted mean of every group."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        found.setdefault(row[plot.group], []).append((number(row[plot.value]), number(row[plot.weight])))
    return {group: sum(x * w for x, w in pairs) / sum(w for _, w in pairs) for group, pairs in found.items()}


def _group_styles(plot: Curves, groups: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return one look per group: the reference first, black and strong, the others by colour and dash."""
    others = [group for group in dict.fromkeys(groups) if group != plot.reference]
    count = len(_GROUP_COLOURS)
    styles: dict[str, dict[str, Any]] = {
        group: {
            "color": _GROUP_COLOURS[i % count],
            "linestyle": _LINE_STYLES[i // count % len(_LINE_STYLES)],
            "linewidth": 1.0,
        }
        for i, group in enumerate(others)
    }
    black = {plot.reference: {"color": "black", "linewidth": 2.2, "zorder": 5}} if plot.reference in groups else {}
    return {**black, **styles}


def _mark(axis: Axes, places: np.ndarray, height: float, marker: str, colour: str) -> None:
    """Draw marks at ``height``, a share of the panel's."""
    heights = np.full(len(places), height)
    transform = axis.get_xaxis_transform()
    axis.plot(places, heights, linestyle="none", marker=marker, markersize=3, color=colour, transform=transform)


def _name_stretches(axis: Axes, plot: Curves, rows: Rows) -> None:
    """Name what ``plot.stretch`` says on the x-axis, a line between two; rows without it get numbers."""
    stretches: dict[str, list[float]] = {}
    for row in rows if plot.stretch else ():
        if row[plot.stretch]:
            stretches.setdefault(f"{plot.stretch} {row[plot.stretch]}", []).append(number(row[plot.x]))
    if not stretches:
        return
    axis.grid(visible=False, axis="x")
    axis.set_xticks([(min(places) + max(places)) / 2 for places in stretches.values()], list(stretches))
    axis.tick_params(axis="x", length=0)
    for places in list(stretches.values())[1:]:
        axis.axvline(min(places) - 0.5, color="#BBBBBB", linewidth=0.8, zorder=0)


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
