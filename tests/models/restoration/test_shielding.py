"""How closely a shield holds: values where the flow makes a whole picture, parameters where it adds to one."""

import pytest
import torch

from models.flow.ranges import JointRange
from models.flow.transforms import Affine
from models.restoration.shielding import add_shield, fit_shield, ranges_of, usual_tails
from models.restoration.super_resolution import SuperResolutionFlow

TINY = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
QUANTILE, PIXELS = 0.1, 1001  # so that a quantile is a pixel


@pytest.mark.parametrize(
    ("residual", "values", "parameters", "room", "reach", "slope"),
    [(False, 0.1, 0.0, 0.1, 1.5, 0.08), (True, 0.03, 0.005, 0.0, 1.0, 0.1)],
)
def test_what_is_held_and_how_far(residual, values, parameters, room, reach, slope):
    network = SuperResolutionFlow(Affine(), 4, 3, 1, 4, [], "learned", TINY, residual=residual)
    assert usual_tails(network) == {"slack": 0.1, "slope": slope}
    add_shield(network, margin=0.05)
    found = ranges_of(network)
    pixels = {name: torch.linspace(0, 1, PIXELS).expand(one.entries, -1) for name, one in found.items()}
    fit_shield(network, pixels, QUANTILE)
    kinds = {"raw": 0, "values": 0, "prior_range": 0, "feature_ranges": 0}
    for name, one in found.items():
        kind = next(kind for kind in kinds if kind in name)
        kinds[kind] += 1
        if not isinstance(one, JointRange):
            coupling = network.get_submodule(name.removesuffix(".transform.values"))
            expected = torch.full_like(one.low, values * 2 ** (coupling.place.level - 1))
            torch.testing.assert_close(one.low, expected, atol=1.1e-3, rtol=0)
            continue
        share, further, expected = (
            (0.0, 0.0, 1.0) if kind == "feature_ranges" else (parameters, room * (1 - 2 * parameters), reach)
        )
        torch.testing.assert_close(one.low, torch.full_like(one.low, share - further), atol=1.1e-3, rtol=0)
        torch.testing.assert_close(one.high, torch.full_like(one.high, 1 - share + further), atol=1.1e-3, rtol=0)
        least = JointRange(one.entries, margin=0.05)
        least.fit(pixels[name], share, parameters)
        torch.testing.assert_close(one.radius, expected * least.radius)
    assert all(kinds.values())
