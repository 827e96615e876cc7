"""Bounds hold for every block and network: random ones, trained ones, and inputs chosen to be as bad as possible."""

import math

import pytest
import torch
from bijection_cases import BIJECTIONS, PLAIN_TRANSFORMS, with_random_parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from lipschitz_cases import linear

from models.flow.bijection import At, Chain, standard_normal_log_prob
from models.flow.caps import Caps
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import PERMUTATIONS, BoundedConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.transforms import TRANSFORMS, RangedAffine
from models.lab.classifier import InvertibleClassifier
from models.lab.glow import Glow
from models.lab.toy import ToyFlow
from models.restoration.tails import Tails
from pipeline.stability.measure.jacobian import float64_copy, function_of, jacobian
from pipeline.stability.measure.lipschitz.layers import layer_bounds, triangular_norm
from pipeline.stability.measure.lipschitz.network import gain, network_bounds
from pipeline.stability.measure.lipschitz.walk import walk
from pipeline.stability.measure.spectrum import exact_extremes
from pipeline.studies import lab_bounds  # noqa: F401  registers the lab's nets and layers

PASSED = 1 + 1e-9
FEATURES = 3


def features(size):
    encoder = torch.randn(1, FEATURES, size, size, dtype=torch.float64)
    return {"encoder": encoder, "noise": torch.randn(1, 3, size, size, dtype=torch.float64)}


BLOCKS = {
    "coupling": lambda transform: Coupling(5, transform, FEATURES, 4),
    "noise coupling": lambda transform: Coupling(5, transform, 3, 4, reads="noise"),
    "unconditional coupling": lambda transform: Coupling(5, transform, 0, 4),
    "injector": lambda transform: Injector(5, transform, FEATURES, 4),
    "split": lambda transform: Split(5, Chain([ActNorm(2)]), factor=1),
    "capped split": lambda transform: Split(
        5, Chain([ActNorm(2)]), factor=1, caps=Caps(prior_mean=1.0, prior_log_scale=1.0)
    ),
    "actnorm": lambda transform: ActNorm(5, cap=1.0),
    "bounded 1x1": lambda transform: BoundedConv1x1(5, limit=3.0),
    "squeeze": lambda transform: Chain([Squeeze(), ActNorm(20)]),
    "tails": lambda transform: Tails(0.1, 0.3),
    "at": lambda transform: At("encoder", ActNorm(5)),
    **{name: (lambda transform, kind=kind: kind(5)) for name, kind in PERMUTATIONS.items()},
}


def holds(layer, x, condition, margin=1.0):
    """Assert that no layer, nor all of them, does more than its bounds say; return the shares of the local ones."""
    bounds = network_bounds(layer, x, condition, margin)
    shares = []
    for step, bound in bounds.layers.items():
        own = gain(step)
        for way in ("forward", "inverse"):
            local, paper = getattr(bound.local, way), getattr(bound.local, f"paper_{way}")
            if getattr(own, way).value is not None:
                assert getattr(own, way).value <= local * PASSED
                shares.append(getattr(own, way).value / local)
            assert local <= paper * PASSED and local <= getattr(bound.everywhere, way) * PASSED
    whole = exact_extremes(layer, x, condition)
    if whole.largest.value is not None:  # a prior that nothing bounds from below may shrink past any float
        assert math.log10(whole.largest.value) <= bounds.log10("local", "forward") + 1e-9
        assert -math.log10(whole.least.value) <= bounds.log10("local", "inverse") + 1e-9
    return shares


@given(
    name=st.sampled_from(sorted(BLOCKS)),
    transform=st.sampled_from(sorted(PLAIN_TRANSFORMS)),
    size=st.sampled_from([2, 4]),
    spread=st.sampled_from([0.02, 0.3, 1.0]),
    reach=st.sampled_from([0.1, 1.0, 30.0]),
    margin=st.sampled_from([1.0, 2.0]),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=80)
def test_no_block_does_more_than_its_bound(name, transform, size, spread, reach, margin, seed):
    torch.manual_seed(seed)
    layer = BLOCKS[name](PLAIN_TRANSFORMS[transform])
    with_random_parameters(layer, spread)
    layer = float64_copy(layer)
    with torch.no_grad():
        condition = layer.share(features(size))
    holds(layer, reach * torch.randn(1, 5, size, size, dtype=torch.float64), condition, margin)


def trained(network, x, condition=None, steps=15):
    """Return it in float64 after some steps of maximum likelihood on ``x``."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        z, log_det = network(x, network.share(condition))
        loss = -(standard_normal_log_prob(z) + log_det).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float64_copy(network)


@pytest.mark.parametrize("transform", PLAIN_TRANSFORMS)
def test_bounds_hold_after_training(transform):
    y = torch.randn(16, 2, 1, 1)
    flow = trained(ToyFlow(PLAIN_TRANSFORMS[transform], 3, 8), 0.3 * torch.randn(16, 2, 1, 1) + 0.3 * y, y)
    with torch.no_grad():
        condition = flow.share(y[:1].double())
    holds(flow, torch.randn(1, 2, 1, 1, dtype=torch.float64), condition)


@pytest.mark.parametrize("kind", [Glow, InvertibleClassifier])
def test_bounds_hold_after_training_on_pictures(kind):
    x = torch.rand(8, 3, 8, 8) - 0.5
    sizes = {"size": 8} if kind is InvertibleClassifier else {}
    network = kind(RangedAffine(0.0, 1.0, 2.0, shift_first=True), levels=2, steps=1, hidden=4, **sizes)
    holds(trained(network, x), x[:1].double(), None)


NETWORKS = [
    "flow-certified_spline-0",
    "flow-capped",
    "low-light-affine-1",
    "super-resolution-rational_quadratic_spline-0",
    "residual-flow",
    "residual-points",
    "checkerboard",
    "regression",
    "depth",
    "top-prior",
]


@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_of_networks_are_products_that_hold(name):
    layer, shared, x = BIJECTIONS[name]()
    with_random_parameters(layer, 0.1)
    layer = float64_copy(layer)
    with torch.no_grad():
        condition = None if shared is None else first(layer.share(shared))
    holds(layer, x[:1], condition)


def first(condition):
    """Return the condition of the first of a batch."""
    if isinstance(condition, torch.Tensor):
        return condition[:1]
    if isinstance(condition, list):
        return [first(part) for part in condition]
    return condition if condition is None else type(condition)(*map(first, condition))


def ascend(layer, x, inverse, limit, steps=25):
    """Yield inputs of growing gain, by gradient ascent on the largest singular value, within |x| <= limit."""
    for _ in range(steps):
        x = x.detach().requires_grad_()
        whole = torch.autograd.functional.jacobian(function_of(layer, None, inverse), x, create_graph=True)
        value = torch.linalg.matrix_norm(whole.view(x.numel(), x.numel()), 2)
        (gradient,) = torch.autograd.grad(value, x)
        x = (x + 0.1 * limit * gradient / gradient.norm().clamp(min=1e-12)).clamp(-limit, limit)
        yield x.detach()


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("transform", PLAIN_TRANSFORMS)
def test_chosen_inputs_do_not_pass_the_bounds(transform, inverse):
    """Every input on the way up; the bounds with a limit are those around a point with three times its radius."""
    way = "inverse" if inverse else "forward"
    layer = Coupling(2, PLAIN_TRANSFORMS[transform], 0, 3)
    with_random_parameters(layer, 0.7)
    layer = float64_copy(layer)
    start = torch.full((1, 2, 1, 1), 0.3, dtype=torch.float64)
    best = before = float(torch.linalg.matrix_norm(jacobian(function_of(layer, None, inverse), start), 2))
    for point in ascend(layer, start, inverse, 3.0):
        x = layer.inverse(point)[0] if inverse else point
        step, _ = walk(layer, x)
        bounds = layer_bounds(layer, step)
        found = float(torch.linalg.matrix_norm(jacobian(function_of(layer, None, inverse), point), 2))
        assert found <= getattr(bounds.local, way) * PASSED
        assert found <= getattr(bounds.everywhere, way) * PASSED
        best = max(best, found)
    assert best >= before


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_bound_around_a_point_holds_all_over_its_region(transform, inverse):
    """Lemma 6 is about a box, not a point: here of all (x1, x2) in [-1, 1] x [-0.8, 0.8], the net being linear."""
    way = "inverse" if inverse else "forward"
    layer = Coupling(2, TRANSFORMS[transform](), 0, 0, net=linear)
    with_random_parameters(layer, 2.0)
    layer = float64_copy(layer)
    corners = torch.tensor([[-1.0, 0.8], [1.0, 0.3]], dtype=torch.float64).view(2, 2, 1, 1)
    step, _ = walk(layer, layer.inverse(corners)[0] if inverse else corners)
    bound = getattr(layer_bounds(layer, step).local, way)
    largest = 0.0
    for _ in range(100):
        other = (2 * torch.rand(1, 2, 1, 1, dtype=torch.float64) - 1) * torch.tensor([1.0, 0.8]).view(1, 2, 1, 1)
        largest = max(largest, float(torch.linalg.matrix_norm(jacobian(function_of(layer, None, inverse), other), 2)))
    assert largest <= bound * PASSED
    if "affine" in transform:  # what holds around one corner alone does not hold for all of them
        alone = layer_bounds(layer, walk(layer, step.x[1:])[0])
        assert getattr(alone.local, way) < largest


@pytest.mark.parametrize(("m", "g"), [(0.0, 0.5), (0.0, 3.0), (1.0, 1.0), (2.0, 0.0), (1e200, 1e200), (3.0, 0.2)])
def test_the_norm_of_a_triangular_block(m, g):
    scale = max(m, g, 1.0)
    block = torch.tensor([[1.0, 0.0], [m, g]], dtype=torch.float64) / scale
    assert triangular_norm(m, g) / scale == pytest.approx(float(torch.linalg.matrix_norm(block, 2)))


def test_golden_ratio():
    """m = g = 1: paper B's bound is 2."""
    assert triangular_norm(1.0, 1.0) == pytest.approx((1 + math.sqrt(5)) / 2)


def test_sums_of_logs_do_not_overflow():
    layers = [ActNorm(1) for _ in range(40)]
    with torch.no_grad():
        for layer in layers:
            layer.log_scale.fill_(30.0)
    bounds = network_bounds(float64_copy(Chain(layers)), torch.full((1, 1, 1, 1), 1e-300, dtype=torch.float64))
    assert bounds.log10("local", "forward") == pytest.approx(40 * 30.0 / math.log(10))
    assert bounds.log10("everywhere", "inverse") == pytest.approx(-40 * 30.0 / math.log(10))


@pytest.mark.parametrize(
    ("transform", "bounded"),
    [("additive", True), ("certified_spline", True), ("affine", False), ("ranged_affine", False)],
)
def test_which_couplings_have_a_global_bound(transform, bounded):
    """Paper B, theorem 2 (ii); and ours: a spline of bounded slope has one, a scale within a range has none."""
    layer = Coupling(2, TRANSFORMS[transform](), 0, 3)
    with_random_parameters(layer, 0.7)
    bounds = network_bounds(float64_copy(layer), torch.zeros(1, 2, 1, 1, dtype=torch.float64))
    for way in ("forward", "inverse"):
        assert math.isfinite(bounds.log10("everywhere", way)) == bounded
        assert math.isfinite(bounds.log10("local", way))


def test_a_layer_that_no_rule_knows_has_no_bound():
    class New(ActNorm):
        pass

    from models.flow.bijection import Bijection

    class Other(Bijection):
        forward = inverse = lambda self, x, condition=None: (x, x.new_zeros(len(x)))

    x = torch.zeros(1, 2, 1, 1, dtype=torch.float64)
    assert network_bounds(Chain([Other()]), x).log10("local", "forward") == math.inf
    assert network_bounds(Chain([New(2).double()]), x).log10("local", "forward") == 0.0  # a kind of one that is known


def test_a_split_held_by_a_shield_has_no_bound():
    """The ellipsoid of its ranges may be steeper than what it is given, which no rule bounds."""
    from models.flow.caps import Caps
    from models.flow.layers.split import Split
    from models.flow.layers.squeeze import Squeeze
    from models.flow.ranges import JointRange

    layer = Split(4, Squeeze(), factor=2, caps=Caps(prior_mean=1.0, prior_log_scale=1.0)).double()
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64)
    assert math.isfinite(network_bounds(layer, x).log10("local", "forward"))
    layer.prior_range = JointRange(4, 0.05).double()
    layer.prior_range.fit(torch.randn(4, 100, dtype=torch.float64), 0.01)
    assert network_bounds(layer, x).log10("local", "forward") == math.inf
