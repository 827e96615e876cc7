"""Which layers let features grow, and on which inputs, from the variance after every layer."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from models.flow.place import Place
from pipeline.stability.subject import IN_DISTRIBUTION

_LARGEST = 3.4e38  # of a float32


class LayerGrowth(NamedTuple):
    """By how much a layer lets the standard deviation of features grow.

    ``condition`` IN_DISTRIBUTION: on photographs. Any other: so many times more than on photographs. ``at_least``: the
    features are not finite behind the layer, so it is more than what leads from before it to the end of float32.
    """

    layer: str
    condition: str
    factor: float
    at_least: bool = False


def growth_by_layer(
    layers: Sequence[str], variances: Mapping[str, Sequence[float | None]]
) -> list[tuple[LayerGrowth, LayerGrowth | None]]:
    """Return, for each of ``layers``, its growth on photographs and on the input on which it exceeds that most.

    ``variances`` as in ``growth_by_kind``; None or a number that is not finite says that features are not finite.
    A layer behind features that are not finite says nothing: such an input is left out for it, and the second of the
    pair is None where no other input remains.
    """
    found = []
    for index, layer in enumerate(layers):
        steps = {c: _step(values[index], values[index + 1]) for c, values in variances.items()}
        inside = steps.pop(IN_DISTRIBUTION, None)
        base, broken = inside or (0.0, False)
        beyond = [
            LayerGrowth(layer, condition, _exp(step[0] - base), step[1]) for condition, step in steps.items() if step
        ]
        worst = max(beyond, key=lambda growth: growth.factor, default=None)
        found.append((LayerGrowth(layer, IN_DISTRIBUTION, _exp(base), broken), worst))
    return found


def _step(before: float | None, after: float | None) -> tuple[float, bool] | None:
    """Return the log of the factor between two variances' roots, and whether it is more than that; None: unknown."""
    if before is None or not math.isfinite(before) or before <= 0:
        return None
    if after is None or not math.isfinite(after):
        return math.log(_LARGEST) - 0.5 * math.log(before), True
    return (0.5 * (math.log(after) - math.log(before)), False) if after > 0 else None


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
