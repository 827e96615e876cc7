"""Which kind of layer lets features grow on stress inputs, from their variance after every layer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from pipeline.stability.analysis import IN_DISTRIBUTION

# what stands before the kind in a layer's label, as "level 3 step 2 " in "level 3 step 2 noise coupling"
_PLACE = re.compile(r"^(level \d+ )?((step|transition) \d+ )?")


def growth_by_kind(labels: Sequence[str], variances: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return per kind of layer how much more it lets features grow on the worst stress input than on photographs.

    ``variances[condition]``: after the latent and after each layer of ``labels``, in the order of the inverse pass.
    The factors by which all layers of a kind change the standard deviation are multiplied; a stress input's product
    over that of photographs is the answer, so 1 says that the kind does nothing out of the ordinary. Inputs with a
    variance that is not finite are left out.
    """
    kinds = [_PLACE.sub("", label).replace(" ", "_") for label in labels[1:]]
    inside = _log_growth(kinds, variances[IN_DISTRIBUTION])
    others = [
        _log_growth(kinds, values)
        for condition, values in variances.items()
        if condition != IN_DISTRIBUTION and all(map(math.isfinite, values))
    ]
    return {kind: math.exp(max(growth[kind] - inside[kind] for growth in others)) for kind in inside if others}


def _log_growth(kinds: Sequence[str], variances: Sequence[float]) -> dict[str, float]:
    growth = {kind: 0.0 for kind in kinds if kind != "squeeze"}  # which moves values and changes none
    for kind, before, after in zip(kinds, variances, variances[1:], strict=False):
        if kind in growth and before > 0 and after > 0:
            growth[kind] += 0.5 * math.log(after / before)
    return growth
