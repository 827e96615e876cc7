"""No term of a bound can be left out: some constructed case then passes it. And as they are, none is passed."""

import functools
import math

import pytest
from lipschitz_cases import CASES, reached

from pipeline.stability.measure.lipschitz import layers, nets, transforms, walk
from pipeline.stability.measure.lipschitz.regions import Region
from pipeline.studies import lab_bounds

PASSED = 1 + 1e-9


@pytest.mark.parametrize("name", CASES)
def test_a_case_reaches_its_bound_and_does_not_pass_it(name):
    case = CASES[name]()
    share = reached(case)
    assert case.share <= share <= PASSED
    assert reached(case, prefix="paper_") <= share * PASSED  # paper B's is no tighter


def without(function, index, count):
    """Return derivatives with one parameter's left out, of transforms with ``count`` of them."""

    @functools.wraps(function)
    def mutant(transform, region):
        found = function(transform, region)
        if len(found.parameters) != count:
            return found
        return found._replace(parameters=(*found.parameters[:index], 0.0, *found.parameters[index + 1 :]))

    return mutant


def with_slope(function, slope):
    @functools.wraps(function)
    def mutant(transform, region):
        return function(transform, region)._replace(slope=slope)

    return mutant


def around(radius, shift):
    """Return ``Region.around`` with the radius, or the first raw parameter, forgotten."""

    def mutant(x, raw, parameters, margin=1.0):
        region = AROUND(x, raw, parameters, margin)
        return Region(region.radius * radius, tuple((a * shift, b * shift) for a, b in region.raw[:1]) + region.raw[1:])

    return mutant


AROUND = Region.around
FORWARD, INVERSE = transforms.forward_derivatives, transforms.inverse_derivatives
NET, LAST = nets.conv_norm, nets.last_layer
STANDARDIZED, RESTORED = layers._standardized, layers._restored
MUTANTS = {
    **{
        f"{way}, {name}": (layers, function.__name__, without(function, index, len(names)))
        for way, function in (("forward", FORWARD), ("inverse", INVERSE))
        for names in (("t alone",), ("t", "raw scale"), ("w", "h", "v", "t of a spline"))
        for index, name in enumerate(names)
    },
    "forward, D": (layers, "forward_derivatives", with_slope(FORWARD, 0.0)),
    "inverse, D": (layers, "inverse_derivatives", with_slope(INVERSE, 0.0)),
    "the other way's": (layers, "inverse_derivatives", FORWARD),
    "the scale's slope": (transforms._Scale, "steepest", lambda self, raw: 0.0),
    "the inverse scale's slope": (transforms._Scale, "steepest_inverse", lambda self, raw: 0.0),
    "the inverse scale": (transforms._Scale, "most_inverse", lambda self, raw: 1.0),
    "the radius": (Region, "around", around(0.0, 1.0)),
    "the shift, c_t": (Region, "around", around(1.0, 0.0)),
    "c_t in transforms": (transforms, "largest", lambda interval: 0.0),
    "c_t of a split's mean": (layers, "largest", lambda interval: 0.0),
    # how they are put together
    "the identity": (layers, "triangular_norm", max),
    "the half that passes": (layers, "triangular_norm", math.hypot),
    "M": (layers, "triangular_norm", lambda m, g: max(1.0, g)),
    "one factor of the root": (layers, "triangular_norm", lambda m, g: math.hypot(m, 1.0)),
    "what has left": (walk, "max", lambda a, b: b),
    "split's D, forward": (layers, "_standardized", lambda region: STANDARDIZED(region)._replace(slope=0.0)),
    "split's D, inverse": (layers, "_restored", lambda region: RESTORED(region)._replace(slope=0.0)),
    # nets
    "the factor of ActNorm": (nets, "scaled", lambda weight, norm: weight.detach().double()),
    "exp(3 logs)": (nets, "zero_conv_weight", lambda layer: layer.conv.weight.detach().double()),
    "all taps but the middle": (
        nets,
        "conv_norm",
        lambda weight, size: NET(weight[..., 1:2, 1:2] if weight.shape[-1] == 3 else weight, size),
    ),
    "the trunk": (
        nets,
        "last_layer",
        lambda weight, parameters, size, trunk=1.0: LAST(weight, parameters, size),
    ),
    "the last layer": (lab_bounds, "last_layer", lambda *a: nets.NetConstants((0.0,) * a[1], 0.0)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught_by_a_case(mutant, monkeypatch):
    place, name, replacement = MUTANTS[mutant]
    monkeypatch.setattr(place, name, replacement, raising=False)
    assert any(reached(CASES[case]()) > PASSED for case in CASES)
