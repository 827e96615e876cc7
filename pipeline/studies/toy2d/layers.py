"""Where along a flow the variance grows (paper A, Fig. 3 and appendix Fig. 2), for true and for shifted conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import Tensor

from models.lab.toy import ToyFlow
from pipeline.reporting.style import styled, subplots
from pipeline.stability.measure.variances import Variances, variances
from pipeline.studies.toy2d.problem import shifted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("variant", "net", "seed", "index", "layer", "true", "shifted")
PAPERS_GROWTH = 10_000.0  # at the coupling of the fourth step, "more than"
_SHORT = {"coupling": "Aff", "1x1": "IC", "actnorm": "AN"}  # as in Fig. 3
_TRUE, _UNUSUAL = "#0072B2", "#D55E00"

Row = Mapping[str, Any]


def layer_variances(flow: ToyFlow, y: Tensor, z: Tensor) -> list[dict[str, Any]]:
    """Return a row per layer of the inverse pass, the latent first; y and z ``(B, 2, 1, 1)``.

    ``true``, ``shifted``: the variance over points and coordinates of what came out, for conditions y and for those
    shifted as the paper's; None: not finite.
    """
    passes = [variances(flow, z, flow.share(conditions), "inverse") for conditions in (y, shifted(y))]
    names = ["z", *(f"{_SHORT[place.role]}{place.step}" for place in passes[0].places)]
    return [
        {"index": index, "layer": name, "true": known, "shifted": unusual}
        for index, (name, known, unusual) in enumerate(zip(names, *map(_finite, passes), strict=True))
    ]


def largest_growth(rows: Sequence[Row]) -> float:
    """Return by how much the variance of one flow grows at one layer for shifted conditions, at most; inf: overflow."""
    values = [row["shifted"] for row in rows]
    return max(math.inf if after is None else after / before for before, after in pairwise(values) if before)


def _finite(found: Variances) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in found.values]


@styled
def layers(rows: Sequence[Row]) -> Figure:
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
