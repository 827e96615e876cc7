"""Which kind of layer lets features grow on stress inputs, from their variance after every layer."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

from models.flow.place import Place
from pipeline.stability.subject import IN_DISTRIBUTION


def growth_by_kind(places: Sequence[Place], variances: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return per kind of layer how much more it lets features grow on the worst stress input than on photographs.

    ``variances[condition]``: of the latent and after the layer at each of ``places``, in the order of the inverse pass.
    The factors by which all layers of a kind change the standard deviation are multiplied; a stress input's product
    over that of photographs is the answer, so 1 says that the kind does nothing out of the ordinary. It is NaN where
    the variance of any input is not finite, and inf where it exceeds what a float holds.
    """
    kinds = [place.role.replace(" ", "_") for place in places]
    inside = _log_growth(kinds, variances[IN_DISTRIBUTION])
    stress = [values for condition, values in variances.items() if condition != IN_DISTRIBUTION]
    if not stress or not all(math.isfinite(value) for values in variances.values() for value in values):
        return dict.fromkeys(inside, math.nan)
    others = [_log_growth(kinds, values) for values in stress]
    return {kind: _exp(max(growth[kind] - inside[kind] for growth in others)) for kind in inside}


def _log_growth(kinds: Sequence[str], variances: Sequence[float]) -> dict[str, float]:
    growth = {kind: 0.0 for kind in kinds if kind != "squeeze"}  # which moves values and changes none
    for kind, before, after in zip(kinds, variances, variances[1:], strict=False):
        if kind in growth and math.isfinite(before) and math.isfinite(after) and before > 0 and after > 0:
            growth[kind] += 0.5 * (math.log(after) - math.log(before))
    return growth


def _exp(value: float) -> float:
    return math.exp(value) if value < math.log(sys.float_info.max) else math.inf
