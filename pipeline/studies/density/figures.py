"""The figures: samples (paper B, Fig. 5), reconstructions (Figs. 4 and 10), errors per set, stability (Fig. 9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pipeline.reporting.style import styled, subplots, variant_colours
from pipeline.stability.drawing import NOT_FINITE_NAME, marked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BROKEN = -1  # in the place of a level
_FLOOR = 1e-8  # of errors that are drawn on an axis of powers of ten
Levels = list[list[list[int]]]  # (C, H, W)


def as_levels(picture: Tensor) -> Levels:
    """Return ``(C, H, W)`` in [0, 1] as JSON values: 8-bit levels, and -1 where a value is not finite."""
    finite = picture.isfinite()
    levels = (picture.where(finite, 0.0).clamp(0, 1) * 255).round().long().where(finite, _BROKEN)
    found: Levels = levels.tolist()
    return found


def as_pixels(levels: Levels) -> np.ndarray:
    """Return what ``as_levels`` returned as ``(H, W, 3)`` uint8, cyan where it was not finite."""
    values = torch.tensor(levels)
    picture = (values.float() / 255).masked_fill(values == _BROKEN, math.nan)
    return marked(picture.expand(3, -1, -1))


@styled
def picture_rows(rows: Mapping[str, Sequence[np.ndarray]], columns: Sequence[str] = ()) -> Figure:
    """Draw rows of pictures ``(H, W, 3)`` under the names of ``columns``, a name before each row."""
    width = max(len(row) for row in rows.values())
    figure, axes = subplots(len(rows), width, (1.4 + 0.72 * width, 0.3 + 0.74 * len(rows)))
    for number, (name, row) in enumerate(rows.items()):
        for place in range(width):
            axis = axes[number * width + place]
            axis.set_axis_off()
            if place < len(row):
                axis.imshow(row[place], interpolation="nearest")
            if number == 0 and place < len(columns):
                axis.set_title(columns[place], fontsize=7)
        first = axes[number * width]
        first.text(-0.15, 0.5, name, transform=first.transAxes, ha="right", va="center", fontsize=8)
    return figure


@styled
def errors(found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> Figure:
    """Plot per set the largest finite error of every seed; above it, the share that is not finite where there is one.

    ``found[variant][set]``: what ``measure.Errors`` holds, per seed.
    """
    names = list(next(iter(found.values())))
    figure, (axis,) = subplots(1, 1, (7.2, 3.6))
    colours = variant_colours(list(found))
    for number, (variant, sets) in enumerate(found.items()):
        aside = 0.16 * (number - (len(found) - 1) / 2)
        for place, name in enumerate(names):
            for one in sets[name]:
                if one["largest"] is not None:
                    _dot(axis, place + aside, one["largest"], colours[variant], "o")
            broken = sum(one["nonfinite"] for one in sets[name]) / len(sets[name])
            if broken:
                axis.text(
                    place + aside, 0.97, f"{broken:.0%} inf/NaN", transform=axis.get_xaxis_transform(), rotation=90,
                    ha="center", va="top", fontsize=7, color=colours[variant],
                )  # fmt: skip
        axis.plot([], [], "o", color=colours[variant], label=variant)
    axis.set_xticks(range(len(names)), names, rotation=20)
    axis.set(yscale="log", ylabel="largest error of a picture (L2)")
    axis.set_ylim(top=axis.get_ylim()[1] * 1e4)  # room for the shares
    figure.legend(loc="outside lower center", ncols=len(found))
    return figure


def _dot(axis: Axes, across: float, up: float, colour: str, marker: str) -> None:
    axis.plot(across, max(up, _FLOOR), marker, color=colour, markersize=4, markerfacecolor="none")


@styled
def watched(
    found: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], what: Mapping[str, str], linear: Sequence[str]
) -> Figure:
    """Plot values along the training, a line per seed: ``found[variant][seed]`` are rows with "step".

    ``what``: key of a row -> label; all but those named ``linear`` have an axis of powers of ten. A value that is not
    finite, None, is a cross on the upper edge.
    """
    figure, axes = subplots(1, len(what), (2.6 * len(what), 3.0))
    colours = variant_colours(list(found))
    for axis, (key, label) in zip(axes, what.items(), strict=True):
        axis.set(xlabel="update", title=label, yscale="linear" if key in linear else "log")
        for variant, seeds in found.items():
            for rows in seeds:
                known = [(row["step"], row[key]) for row in rows if row[key] is not None]
                axis.plot(*zip(*known, strict=True) if known else ([], []), color=colours[variant], linewidth=1.0)
                for row in rows:
                    if row[key] is None:
                        axis.plot(row["step"], 0.98, "x", color=colours[variant], transform=axis.get_xaxis_transform())
        axis.title.set_fontsize(8)
    for variant, colour in colours.items():
        axes[0].plot([], [], color=colour, label=variant)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(found))
    return figure


def samples(data: Sequence[Levels], drawn: Mapping[str, Sequence[Levels]]) -> Figure:
    """Draw pictures of the data above samples of every variant."""
    rows = {"data": [as_pixels(one) for one in data]}
    rows |= {variant: [as_pixels(one) for one in own] for variant, own in drawn.items()}
    figure: Figure = picture_rows(rows)
    return figure


def reconstructions(shown: Mapping[str, Mapping[str, Sequence[Levels]]]) -> Figure:
    """Draw per variant the input of every set that comes back worst, and below it what comes back."""
    rows = {}
    for variant, sets in shown.items():
        rows[variant] = [as_pixels(given) for given, _ in sets.values()]
        rows[f"{variant}, back"] = [as_pixels(again) for _, again in sets.values()]
    figure: Figure = picture_rows(rows, list(next(iter(shown.values()))))
    return figure


__all__ = ["NOT_FINITE_NAME", "as_levels", "as_pixels", "errors", "reconstructions", "samples", "watched"]
