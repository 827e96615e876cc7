"""The toy experiment's plots: samples and variances (paper A, Figs. 2, 3), how often flows explode, nll against L."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.reporting.style import styled, subplots, variant_colours
from pipeline.studies.toy2d.problem import shifted
from pipeline.studies.toy2d.shifts import SIZES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 1500  # per cloud: more only cover each other
_TRUE, _UNUSUAL = "#0072B2", "#D55E00"
_MARKERS = ("o", "s", "^", "D")


def as_lists(clouds: Sequence[Tensor]) -> list[list[list[float | None]]]:
    """Return as many points of each cloud as are drawn, as JSON values; what is not finite becomes None."""
    return [
        [[v if math.isfinite(v) else None for v in point] for point in cloud[:_POINTS].flatten(1).tolist()]
        for cloud in clouds
    ]


def clouds_of(lists: Sequence[Sequence[Sequence[float | None]]]) -> tuple[Tensor, Tensor]:
    """Return what ``as_lists`` was given; what was not finite is NaN."""
    known, unknown = (
        torch.tensor([[math.nan if v is None else v for v in point] for point in cloud])[:, :, None, None]
        for cloud in lists
    )
    return known, unknown


@styled
def samples(clouds: Mapping[tuple[str, str], tuple[Tensor, Tensor]], x: Tensor, y: Tensor) -> Figure:
    """Plot samples for true conditions and, below, for shifted ones; those outside stand on the edge, as in Fig. 2.

    ``clouds[net, variant]``: both, ``(B, 2, 1, 1)``; infinite points lie on the edge, NaN is left out. ``x`` and ``y``:
    the data and the true conditions, in the first column.
    """
    nets, variants = (list(dict.fromkeys(key[place] for key in clouds)) for place in (0, 1))
    columns = len(variants) + 1
    size = (1.75 * columns + 0.3, 3.7 * len(nets) + 0.2)
    figure, axes = subplots(2 * len(nets), columns, size, sharex=True, sharey=True)
    for row, net in enumerate(nets):
        top, bottom = axes[2 * row * columns :][:columns], axes[(2 * row + 1) * columns :][:columns]
        _cloud(top[0], x, "#555555", "data x")
        _cloud(bottom[0], y, "#555555", "conditions y: true, shifted")
        _cloud(bottom[0], shifted(y), _UNUSUAL, "conditions y: true, shifted")
        for place, variant in enumerate(variants, 1):
            for axis, index, colour in ((top[place], 0, _TRUE), (bottom[place], 1, _UNUSUAL)):
                if (net, variant) in clouds:
                    _cloud(axis, clouds[net, variant][index], colour, variant)
                else:
                    axis.set_visible(False)
        top[0].set_ylabel(f"{net} nets,\ntrue conditions")
        bottom[0].set_ylabel(f"{net} nets,\nshifted")
    return figure


def _cloud(axis: Axes, points: Tensor, colour: str, title: str) -> None:
    across, up = points[:_POINTS].flatten(1).clamp(-1, 1).T.numpy()
    axis.scatter(across, up, s=1.5, color=colour, linewidths=0, clip_on=False)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[-1, 0, 1], yticks=[-1, 0, 1], aspect="equal")
    axis.set_title(title, fontsize=7.5)


@styled
def explosions(often: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot the shares that exploded (above) and left the box (below) against the size of the shift, a panel per net.

    ``often``: rows of ``shifts.frequencies``.
    """
    nets, variants = (list(dict.fromkeys(line[key] for line in often)) for key in ("net", "variant"))
    colours = variant_colours(variants)
    figure, axes = subplots(2, len(nets), (4.2 * len(nets), 5.6), sharex=True, sharey=True)
    for place, (name, title) in enumerate((("exploded", "exploded"), ("left", "left the box"))):
        for column, net in enumerate(nets):
            axis = axes[place * len(nets) + column]
            for number, variant in enumerate(variants):
                own = [line for line in often if (line["net"], line["variant"]) == (net, variant)]
                sizes, shares = [line["size"] for line in own], [100 * line[name] for line in own]
                marker = _MARKERS[number % len(_MARKERS)]
                axis.plot(sizes, shares, color=colours[variant], marker=marker, markersize=5, label=variant)
            axis.set(title=f"{title}, {net} nets", xscale="log", ylim=(-3, 103))
            axis.set_xticks(SIZES, [f"{size:g}" for size in SIZES])
            axis.minorticks_off()
            if place:
                axis.set_xlabel("size of the shift, 1: the paper's")
            if not column:
                axis.set_ylabel("% of seeds and directions")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(variants))
    return figure


@styled
def layers(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot the variance after every layer, from latent to sample, a line per seed; gaps are not finite.

    ``rows``: of ``layer_variances`` with ``variant``, ``net`` and ``seed``; a panel per net (down) and variant.
    """
    nets, variants = (list(dict.fromkeys(row[key] for row in rows)) for key in ("net", "variant"))
    size = (2.3 * len(variants) + 0.3, 2.1 * len(nets) + 0.4)
    figure, axes = subplots(len(nets), len(variants), size, sharex=True, sharey=True)
    panels = [(net, variant) for net in nets for variant in variants]
    for axis, (net, variant) in zip(axes, panels, strict=True):
        own = [row for row in rows if (row["net"], row["variant"]) == (net, variant)]
        for seed in dict.fromkeys(row["seed"] for row in own):
            line = [row for row in own if row["seed"] == seed]
            for kind, colour in (("true", _TRUE), ("shifted", _UNUSUAL)):
                values = [math.nan if row[kind] is None else row[kind] for row in line]
                axis.plot(values, color=colour, linewidth=1.0, marker=".", markersize=3, label=f"{kind} conditions")
            axis.set_xticks(range(len(line)), [row["layer"] for row in line], rotation=90, fontsize=6)
        axis.set(title=f"{variant}, {net}", yscale="log")
    for row in range(len(nets)):
        axes[row * len(variants)].set_ylabel("variance")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles[:2], labels[:2], loc="outside lower center", ncols=2)
    return figure


@styled
def price(found: Sequence[Mapping[str, Any]], exact: float) -> Figure:
    """Plot the median nll against L, a line per bound of t, bars from the least to the most over seeds.

    ``found``: rows of ``toy2d.summary``. Variants without L are levels; ``exact`` is the true posterior's nll.
    """
    figure, (axis,) = subplots(1, 1, (6.4, 4.0))
    finite = [line for line in found if line["nll_most"] is not None]
    others = [line for line in finite if "lipschitz" not in line]
    for line, colour in zip(others, variant_colours([line["variant"] for line in others]).values(), strict=True):
        axis.axhline(line["nll_median"], color=colour, linestyle="--", linewidth=1.2, label=line["variant"])
        axis.axhspan(line["nll_least"], line["nll_most"], color=colour, alpha=0.08, linewidth=0)
    certified = [line for line in finite if "lipschitz" in line]
    shifts = sorted({line["shift"] for line in certified})
    for number, shift in enumerate(shifts):
        own = sorted((line for line in certified if line["shift"] == shift), key=lambda line: line["lipschitz"])
        middle = [line["nll_median"] for line in own]
        spread = [
            [line["nll_median"] - line["nll_least"] for line in own],
            [line["nll_most"] - line["nll_median"] for line in own],
        ]
        aside = 1.0 + 0.03 * (number - (len(shifts) - 1) / 2)  # so that bars at the same L do not hide each other
        place = [line["lipschitz"] * aside for line in own]
        axis.errorbar(place, middle, yerr=spread, marker="o", markersize=4, capsize=3, label=f"|t| < {shift:g}")
    axis.axhline(exact, color="black", linewidth=1.0, label="exact posterior")
    ticks = sorted({line["lipschitz"] for line in certified})
    axis.set(xlabel="L, the bound of every coupling's slope", ylabel="nll on held-out points (nats)", xscale="log")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    figure.legend(loc="outside right center")
    return figure
