"""Singular values by Lanczos against known spectra and whole Jacobians; error bars that hold; faults that are told."""

import math

import pytest
import torch
from bijection_cases import image, level_features, with_random_parameters
from torch.autograd.functional import jacobian as autograd_jacobian

from models.flow.layers.actnorm import ActNorm
from models.flow.memory_saving import save_memory
from models.flow.multiscale import multiscale_flow
from models.flow.transforms import TRANSFORMS
from models.lab.glow import Glow
from models.lab.log_det import Exact, Roulette
from models.lab.residual import residual_flow
from pipeline.stability.measure.jacobian import Linearized, float64_copy, function_of, jacobian
from pipeline.stability.measure.spectrum import (
    Extreme,
    Extremes,
    exact_extremes,
    extreme_singular_values,
    largest_singular_value,
    singular_values,
)

SHAPE = (1, 4, 6, 5)


def sandwich(values):
    """Return a nonlinear map whose Jacobian at 0 is Q diag(values) P with random orthogonal Q and P."""
    q, p = (torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64))[0] for _ in range(2))
    matrix = q @ torch.diag(values) @ p
    return lambda x: torch.sinh(x.flatten(1)).mm(matrix.T).view(-1, *SHAPE[1:])


def zeros():
    return torch.zeros(SHAPE, dtype=torch.float64)


def a_flow(transform="affine"):
    """Return a conditional flow with a split, its condition and a picture; 192 values."""
    flow = multiscale_flow(TRANSFORMS[transform](), 3, 1, 4, 5, {1}, [0, 1, 1])
    with_random_parameters(flow, 0.2)
    flow = float64_copy(flow)
    features = {level: {k: f[:1] for k, f in level_features(8 // 2**level).items()} for level in (1, 2, 3)}
    with torch.no_grad():
        return flow, flow.share(features), image(3, 8)[:1]


SPECTRA = {
    "wide": torch.logspace(-3, 4, 120, dtype=torch.float64),
    "a cluster at the top": torch.cat([torch.linspace(0.0, 0.99, 60), torch.linspace(1.0, 1.02, 60)]).double(),
    "all equal": torch.full((120,), 2.5, dtype=torch.float64),
    "one alone": torch.cat([torch.tensor([7.0]), torch.zeros(119)]).double(),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", SPECTRA)
def test_the_largest_of_a_known_spectrum(name, seed):
    """Of a cluster, whose gaps are a third of the tolerance, the bar is sure to hold one, not the topmost."""
    values = SPECTRA[name]
    found = largest_singular_value(sandwich(values), zeros(), seed=seed)
    most = float(values.max())
    assert found.value == pytest.approx(most, rel=0.01) and found.reason == ""
    held = (values >= found.low * (1 - 1e-9)) & (values <= found.high * (1 + 1e-9))
    assert held.any() if name == "a cluster at the top" else held[values.argmax()]
    assert found.value <= most * (1 + 1e-9)  # a Rayleigh quotient is never above


@pytest.mark.parametrize("products", [33, 40, 80])
def test_some_singular_value_lies_within_the_error_bar_however_early_it_stops(products):
    values = torch.sort(torch.rand(120, dtype=torch.float64)).values + 1.0
    function = sandwich(values)
    found = largest_singular_value(function, zeros(), products=products, tolerance=1e-4)
    if found.value is None:
        assert found.reason == f"no convergence in {products} products"
        assert 0.5 * float(values.max()) < found.low <= float(values.max()) * (1 + 1e-12)
    else:
        assert ((values >= found.low) & (values <= found.high)).any()
        assert found.products <= products


def test_a_wider_tolerance_has_a_wider_bar_and_fewer_products():
    function = sandwich(torch.linspace(1.0, 1.3, 120, dtype=torch.float64))
    coarse, fine = (largest_singular_value(function, zeros(), tolerance=t) for t in (0.05, 1e-5))
    assert coarse.products < fine.products and coarse.high - coarse.low > fine.high - fine.low
    assert fine.value == pytest.approx(1.3, rel=1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_lanczos_is_within_one_percent_of_the_whole_jacobian_of_a_flow(transform):
    flow, condition, x = a_flow(transform)
    exact = exact_extremes(flow, x, condition)
    found = extreme_singular_values(flow, x, condition)
    for part in ("largest", "least", "condition_number"):
        one, other = getattr(found, part), getattr(exact, part)
        assert one.value == pytest.approx(other.value, rel=0.01)
        assert one.low <= other.value * (1 + 1e-9) and other.value <= one.high * (1 + 1e-9)


def test_the_whole_jacobian_is_autograds():
    flow, condition, x = a_flow()
    expected = autograd_jacobian(lambda x: flow(x, condition)[0].flatten(), x).view(192, 192)
    assert torch.allclose(jacobian(function_of(flow, condition), x, rows=50), expected, rtol=1e-10, atol=1e-12)
    values = singular_values(flow, x, condition)
    assert torch.allclose(torch.from_numpy(values), torch.linalg.svdvals(expected))


def test_the_smallest_is_one_over_the_largest_of_the_inverse():
    flow, condition, x = a_flow()
    values = singular_values(flow, x, condition)
    assert exact_extremes(flow, x, condition).least.value == pytest.approx(values[-1], rel=1e-8)


def test_products_are_those_of_the_jacobian():
    flow, condition, x = a_flow("certified_spline")
    matrix = jacobian(function_of(flow, condition), x)
    linearized = Linearized(function_of(flow, condition), x)
    v = torch.randn_like(x)
    torch.testing.assert_close(linearized.forward(v).flatten(), matrix @ v.flatten())
    u = torch.randn_like(linearized.value)
    torch.testing.assert_close(linearized.adjoint(u).flatten(), matrix.T @ u.flatten())


def test_one_seed_gives_one_answer():
    flow, condition, x = a_flow()
    assert largest_singular_value(flow, x, condition, seed=3) == largest_singular_value(flow, x, condition, seed=3)


def test_figure_1_of_paper_b():
    """Points: sigma_min = 0.1^n, condition number 10^n."""
    from models.flow.transforms import RangedAffine
    from models.lab.points import depth_flow

    found = extreme_singular_values(depth_flow(RangedAffine(0.1, 0.1), 8), torch.ones(1, 2, 1, 1).double())
    assert found.least.value == pytest.approx(1e-8, rel=1e-6)
    assert found.condition_number.value == pytest.approx(1e8, rel=1e-6)


def test_an_unconditional_model_takes_the_same_call():
    glow = Glow(TRANSFORMS["affine"](), levels=2, steps=2, hidden=4)
    with_random_parameters(glow, 0.2)
    glow, x = float64_copy(glow), image(3, 8)[:1]
    exact, found = exact_extremes(glow, x), extreme_singular_values(glow, x)
    assert found.condition_number.value == pytest.approx(exact.condition_number.value, rel=0.02)


@pytest.mark.parametrize("log_det", [Exact(), Roulette()])
def test_a_residual_flow_forward_is_right_and_its_inverse_is_told(log_det):
    """Its inverse is a fixed point, whose gradient is not differentiable again: no number rather than a wrong one."""
    flow = residual_flow(1, (10, 10), 1, 1, 4, log_det=log_det)
    with_random_parameters(flow, 0.3)
    flow, x = float64_copy(flow), image(1, 10)[:1]
    values = singular_values(flow, x)
    found = extreme_singular_values(flow, x)
    assert found.largest.value == pytest.approx(values[0], rel=0.01)
    assert found.least.value is None and "cannot be derived again" in found.least.reason
    assert exact_extremes(flow, x).least.value == pytest.approx(values[-1], rel=1e-6)


def test_memory_saving_does_not_stand_in_the_way():
    glow = Glow(TRANSFORMS["affine"](), levels=2, steps=2, hidden=4)
    with_random_parameters(glow, 0.2)
    plain, x = float64_copy(glow), image(3, 8)[:1]
    save_memory(glow, "reversible")
    assert largest_singular_value(float64_copy(glow), x) == largest_singular_value(plain, x)


def test_the_copy_leaves_the_network_as_it_is():
    network = ActNorm(2).train()
    copied = float64_copy(network)
    assert copied.bias.dtype == torch.float64 and not copied.bias.requires_grad and not copied.training
    assert network.bias.dtype == torch.float32 and network.bias.requires_grad and network.training


@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_what_is_not_finite_is_none_with_a_reason(factor):
    assert singular_values(lambda x: factor * x, zeros()) is None
    found = largest_singular_value(lambda x: factor * (x + 1), zeros())
    assert found.value is None and found.reason == "not finite"


def test_a_derivative_that_is_not_finite_where_the_value_is():
    found = largest_singular_value(lambda x: x.abs().sqrt() + x, zeros())  # its slope at 0 is not
    assert found.value is None and found.reason


def test_a_map_that_forgets_its_input_has_zero():
    assert largest_singular_value(lambda x: 0.0 * x, zeros()).value == 0.0
    assert largest_singular_value(torch.ones_like, zeros()).value == 0.0
    assert Extreme(0.0, 0.0, 0.0).inverted().value is None


def test_the_condition_number_is_the_product_and_its_bar_the_widest():
    found = Extremes(Extreme(4.0, 3.0, 5.0, 7), Extreme(0.5, 0.4, 0.6, 9)).condition_number
    assert (found.value, found.low, found.high, found.products) == (8.0, 5.0, 12.5, 16)
    lost = Extremes(Extreme(1e300, 1e300, 1e300), Extreme(1e-300, 1e-300, 1e-300)).condition_number
    assert lost.value is None and lost.reason == "more than a float holds"
    missing = Extremes(Extreme(1.0, 1.0, 1.0), Extreme(None, None, None, 5, "not finite")).condition_number
    assert missing.value is None and missing.reason == "not finite"


@pytest.mark.parametrize("x", [torch.zeros(2, 1, 8, 9).double(), torch.zeros(1, 1, 8, 9)])
def test_a_point_is_one_input_in_float64(x):
    with pytest.raises(ValueError, match="one point in float64"):
        largest_singular_value(lambda x: x, x)
    with pytest.raises(ValueError, match="one point in float64"):
        singular_values(lambda x: x, x)


def test_a_function_has_no_inverse():
    with pytest.raises(ValueError, match="neither condition nor inverse"):
        largest_singular_value(lambda x: x, zeros(), inverse=True)
