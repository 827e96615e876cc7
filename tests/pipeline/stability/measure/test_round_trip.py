"""Round trips through a flow's first layers: paper B's Fig. 1 from one flow, nested chains, splits, precisions."""

import math

import pytest
import torch
from bijection_cases import BIJECTIONS
from small_flow import small_flow

from models.flow.bijection import Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.multiscale import multiscale_flow
from models.flow.observing import observe_forward
from models.flow.transforms import Additive, Affine, CertifiedSpline, RangedAffine
from models.lab.points import depth_flow
from models.restoration.low_light import LowLightFlow
from pipeline.stability.measure.round_trip import PRECISIONS, in_precision, round_trips, spread
from pipeline.stability.measure.unrolled import unrolled

ENCODER = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}


def perturbed(flow):
    """Return a flow whose nets say something, and whose splits and actnorms are not the identity."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow.eval()


def super_resolution():
    network = small_flow().network
    return network, torch.rand(2, 3, 16, 16), network.share(torch.rand(1, 3, 4, 4))


def three_levels():
    flow = perturbed(multiscale_flow(Affine(), 3, 2, 4, 2, splits={1, 2}))
    features = {level: {"encoder": torch.randn(1, 2, 16 // 2**level, 16 // 2**level)} for level in (1, 2, 3)}
    return flow, torch.rand(2, 3, 16, 16), flow.share(features)


def low_light():
    network = perturbed(LowLightFlow(CertifiedSpline(), 1, 4, "learned", ENCODER))
    return network, torch.rand(1, 3, 16, 16), network.share(torch.rand(1, 6, 16, 16))


def shielded():
    """Return a flow whose shield moves what passes: splits, priors and values, and a picture with values far off."""
    network, features, x = BIJECTIONS["shielded-flow-affine"]()
    shared = network.share({name: each.float() for name, each in features.items()})
    return perturbed(network), x.float(), shared


def unconditional():
    return (
        Chain([Chain([Squeeze()]), perturbed(Split(4, Chain([Squeeze(), ActNorm(8)]), 2))]),
        torch.rand(3, 1, 8, 8),
        None,
    )


CASES = {
    "super-resolution": super_resolution,
    "two splits": three_levels,
    "low light": low_light,
    "shielded": shielded,
    "none": unconditional,
}


@pytest.fixture(params=list(CASES))
def case(request):
    with torch.no_grad():
        return CASES[request.param]()


@torch.no_grad()
def test_the_steps_are_the_flow_in_both_directions(case):
    flow, x, condition = case
    steps, stack = unrolled(flow, condition), (x,)
    for step in steps:
        stack = step.forward(stack)
    (z,) = stack
    assert torch.equal(z, flow(x, condition)[0])
    for step in reversed(steps):
        stack = step.inverse(stack)
    (again,) = stack
    assert torch.equal(again, flow.inverse(z, condition)[0])


@torch.no_grad()
def test_every_layer_with_a_place_is_one_named_step(case):
    flow, x, condition = case
    seen = []
    with observe_forward(lambda layer, output: layer.place and seen.append(str(layer.place))):
        flow(x, condition)
    names = [step.name for step in unrolled(flow, condition) if step.name]
    assert sorted(name for name in names if name.startswith("level")) == sorted(seen)
    assert len(names) - len(seen) <= 4  # what has no place: base, mean, layers of no multi-scale flow


@pytest.mark.parametrize(("depth", "error"), [(1, 1e-7), (4, 2e-5), (6, 8e-3), (8, 0.2), (10, 65.0)])
def test_prefixes_of_one_flow_have_the_errors_of_figure_1(depth, error):
    """Paper B, Fig. 1, affine in float32: figures of an independent computation, to their one digit."""
    steps = unrolled(depth_flow(RangedAffine(0.1, 0.1), 12))
    trip = round_trips(steps, torch.ones(1, 2, 1, 1))[depth - 1]
    assert (trip.depth, trip.nonfinite, trip.values) == (depth, 0, 2)
    assert trip.largest == pytest.approx(error, rel=0.2) and trip.mean == pytest.approx(trip.largest / 2)


def test_additive_prefixes_stay_at_rounding():
    """Paper B, Fig. 1: at most 1.2e-7 at depth 100."""
    trips = round_trips(unrolled(depth_flow(Additive(), 100)), torch.ones(1, 2, 1, 1))
    assert len(trips) == 100 and max(trip.largest for trip in trips) <= 1.2e-7


def test_what_is_not_finite_is_counted_and_has_no_error():
    trip = round_trips(unrolled(depth_flow(RangedAffine(0.1, 0.1), 60)), torch.ones(1, 2, 1, 1), points=1)[-1]
    assert trip.depth == 60 and trip.nonfinite == 1 and math.isnan(trip.largest) and math.isnan(trip.mean)


@torch.no_grad()
def test_the_last_depth_is_the_whole_flow(case):
    flow, x, condition = case
    steps = unrolled(flow, condition)
    z, _ = flow(x, condition)
    for value, inverse in ((x, False), (z, True)):
        trip = round_trips(steps, value, points=3, inverse=inverse)[-1]
        there, back = (flow.inverse, flow.forward) if inverse else (flow.forward, flow.inverse)
        expected = (back(there(value, condition)[0], condition)[0] - value).double().abs()
        assert trip.largest == float(expected.max()) and trip.mean == pytest.approx(float(expected.mean()))
        assert trip.depth == len([step for step in steps if step.name])


def test_depths_are_spread_evenly_and_end_with_the_whole():
    assert spread(10, None) == spread(10, 99) == list(range(1, 11))
    assert spread(100, 4) == [25, 50, 75, 100] and spread(7, 1) == [7]
    assert all(len(spread(45, points)) == points for points in range(1, 46))


@pytest.mark.parametrize("make", [super_resolution, low_light])
def test_each_precision_has_its_own_error(make):
    """Rounding units are 2^-53, 2^-24 and 2^-8: a network that amplifies little errs by some of them."""
    flow, x, _ = make()
    seen = torch.rand(1, 3, 4, 4) if make is super_resolution else torch.rand(1, 6, 16, 16)
    found = {}
    for name, dtype in PRECISIONS.items():
        network = in_precision(flow, dtype)
        assert {p.dtype for p in network.parameters()} == {dtype}
        with torch.no_grad():
            steps = unrolled(network, network.share(seen.to(dtype)))
        found[name] = round_trips(steps, x.to(dtype), points=2)[-1].largest
    assert found["float64"] < 1e-12 and 1e-9 < found["float32"] < 1e-4 and 1e-4 < found["bfloat16"] < 1
    assert {p.dtype for p in flow.parameters()} == {torch.float32}  # a copy was measured


def test_in_bfloat16_every_layer_hands_on_bfloat16():
    flow, x, _ = super_resolution()
    network = in_precision(flow, torch.bfloat16)
    given = []
    for module in network.flow.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda module, given_, output: given.append(output.dtype))
    with torch.no_grad():
        steps = unrolled(network, network.share(torch.rand(1, 3, 4, 4).bfloat16()))
    round_trips(steps, x.bfloat16(), points=1)
    assert given and set(given) == {torch.bfloat16}
