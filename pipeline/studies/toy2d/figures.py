"""The toy experiment's two plots: samples per variant (paper A, Fig. 2), and nll against L and the bound of t."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.reporting.style import variant_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 1500  # per cloud: more only cover each other
_PER_ROW = 5
_TRUE, _UNUSUAL = "#0072B2", "#D55E00"


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


def samples(clouds: Mapping[str, tuple[Tensor, Tensor]], x: Tensor) -> Figure:
    """Plot per variant the samples for true and for shifted conditions; those outside stand on the edge, as in Fig. 2.

    ``clouds[variant]``: both, ``(B, 2, 1, 1)``; infinite points lie on the edge, NaN is left out. ``x``: the data.
    """
    from matplotlib.figure import Figure

    rows = math.ceil((len(clouds) + 1) / _PER_ROW)
    figure = Figure(figsize=(2.1 * _PER_ROW, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, _PER_ROW, squeeze=False, sharex=True, sharey=True).ravel()
    drawn: dict[str, Sequence[tuple[Tensor, str, str]]] = {"data": [(x, "#555555", "data")]}
    for name, (known, unknown) in clouds.items():
        drawn[name] = [(known, _TRUE, "samples for true conditions"), (unknown, _UNUSUAL, "for shifted conditions")]
    for axis, (name, pairs) in zip(axes, drawn.items(), strict=False):
        for points, colour, label in pairs:
            across, up = points[:_POINTS].flatten(1).clamp(-1, 1).T.numpy()
            axis.scatter(across, up, s=1.5, color=colour, linewidths=0, label=label, clip_on=False)
        axis.set(title=name, xlim=(-1, 1), ylim=(-1, 1), xticks=[-1, 0, 1], yticks=[-1, 0, 1], aspect="equal")
        axis.title.set_fontsize(8)
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    handles, labels = axes[min(1, len(drawn) - 1)].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, markerscale=6, frameon=False)
    return figure


def price(found: Sequence[Mapping[str, Any]], exact: float) -> Figure:
    """Plot the median nll against L, a line per bound of t, bars from the least to the most over seeds.

    ``found``: rows of ``toy2d.summary``. Variants without L are levels; ``exact`` is the true posterior's nll.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axis = figure.subplots()
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
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure
