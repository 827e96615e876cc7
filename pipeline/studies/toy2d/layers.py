"""Where along a flow the variance grows (paper A, Fig. 3 and appendix Fig. 2), for true and for shifted conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from models.lab.toy import ToyFlow
from pipeline.stability.measure.variances import Variances, variances
from pipeline.studies.toy2d.problem import shifted

COLUMNS = ("variant", "net", "seed", "index", "layer", "true", "shifted")
PAPERS_GROWTH = 10_000.0  # at the coupling of the fourth step, "more than"
_SHORT = {"coupling": "Aff", "1x1": "IC", "actnorm": "AN"}  # as in Fig. 3

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
