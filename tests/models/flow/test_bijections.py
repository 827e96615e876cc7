"""One contract for every transform and every bijection: a new table entry is tested without a new test."""

from __future__ import annotations

import pytest
import torch
from bijection_cases import BIJECTIONS, LOG_DET_TOLERANCE, TRANSFORM_CASES, with_random_parameters
from torch.autograd.functional import jacobian

ROUND_TRIP_64 = 1e-8  # float64: rounding only
LOG_DET_64 = 1e-7
ROUND_TRIP_32 = 2e-3  # float32 on moderate inputs: the figure itself is recorded, this is the alarm


@pytest.fixture(params=list(TRANSFORM_CASES))
def transform(request):
    return TRANSFORM_CASES[request.param]


@pytest.fixture(params=list(BIJECTIONS))
def name(request):
    return request.param


@pytest.fixture
def case(name):
    torch.manual_seed(1)
    layer, features, x = BIJECTIONS[name]()
    with_random_parameters(layer)
    return layer.double(), features, x


@pytest.fixture
def random_error(name):
    """How far off a log-determinant may be because it is estimated at random."""
    return LOG_DET_TOLERANCE.get(name, 0.0)


def raw_parameters(transform, shape, spread, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    batch, channels, *size = shape
    raw = torch.randn(batch, channels * transform.parameters_per_channel, *size, generator=generator, dtype=dtype)
    return spread * raw


def test_transform_round_trip_and_log_derivative(transform):
    x = torch.linspace(-1.5, 1.5, 4 * 3 * 25, dtype=torch.float64).reshape(4, 3, 5, 5)
    h = raw_parameters(transform, x.shape, 1.5)
    y, log_derivative = transform.forward(x, h)
    back, log_inverse = transform.inverse(y, h)
    torch.testing.assert_close(back, x, atol=ROUND_TRIP_64, rtol=0)
    torch.testing.assert_close(log_inverse, -log_derivative, atol=LOG_DET_64, rtol=1e-6)
    x.requires_grad_()
    slope = torch.autograd.grad(transform.forward(x, h)[0].sum(), x)[0]
    torch.testing.assert_close(slope.log(), log_derivative, atol=LOG_DET_64, rtol=1e-6)


def test_transform_is_increasing(transform):
    x = torch.linspace(-4, 4, 4001, dtype=torch.float64).reshape(1, 1, 1, -1)
    for seed in range(20):
        h = raw_parameters(transform, (1, 1, 1, 1), 2.0, seed)
        y, _ = transform.forward(x, h.expand(-1, -1, 1, 4001))
        assert (y.diff() > 0).all()


def test_transform_has_finite_gradients_everywhere(transform):
    """Also outside of a spline's box, at its edges and for extreme raw parameters."""
    x = torch.tensor([-1e4, -3.0, -0.5, -0.499999, 0.0, 0.25, 0.5, 0.500001, 3.0, 1e4]).reshape(1, 1, 1, -1)
    for extreme in (0.0, 1.0, -30.0, 30.0, -1e4, 1e4):
        for function in (transform.forward, transform.inverse):
            values = x.clone().requires_grad_()
            h = torch.full((1, transform.parameters_per_channel, 1, x.shape[-1]), extreme, requires_grad=True)
            y, log_derivative = function(values, h)
            (y.sum() + log_derivative.sum()).backward()
            assert y.isfinite().all() and log_derivative.isfinite().all()
            assert values.grad.isfinite().all() and h.grad.isfinite().all()


def test_transform_is_continuous_at_box_edges(transform):
    edge = getattr(transform, "bound", 0.5)
    h = raw_parameters(transform, (1, 1, 1, 1), 2.0)
    for side in (-edge, edge):
        near = torch.tensor([side - 1e-9, side, side + 1e-9], dtype=torch.float64).reshape(1, 1, 1, 3)
        y, _ = transform.forward(near, h.expand(-1, -1, 1, 3))
        assert y.diff().abs().max() < 1e-7


def test_transform_float32_error(transform, record_property):
    """float32 is our subject: the error on parameters of trained size is recorded, a gross one is an alarm."""
    x = torch.empty(8, 3, 32, 32).uniform_(-1, 1, generator=torch.Generator().manual_seed(3))
    h = raw_parameters(transform, x.shape, 0.5, dtype=torch.float32)
    y, _ = transform.forward(x, h)
    error = (transform.inverse(y, h)[0] - x).abs().max().item()
    record_property("float32_round_trip_max_abs", error)
    assert error < ROUND_TRIP_32


def test_transform_in_half_precision_computes_in_float32(transform):
    x, h = torch.rand(1, 2, 4, 4), raw_parameters(transform, (1, 2, 4, 4), 1.0, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, log_derivative = transform.forward(x.bfloat16(), h.bfloat16())
    assert y.dtype == log_derivative.dtype == torch.float32


def test_round_trip(case, random_error):
    layer, features, x = case
    condition = layer.share(features)
    z, log_det = layer(x, condition)
    back, log_det_back = layer.inverse(z, condition)
    torch.testing.assert_close(back, x, atol=ROUND_TRIP_64, rtol=0)
    torch.testing.assert_close(log_det_back, -log_det, atol=LOG_DET_64 + random_error, rtol=1e-7)


def test_log_det_against_autograd(case, random_error):
    layer, features, x = case
    condition = layer.share(features)
    _, log_det = layer(x, condition)
    assert log_det.shape == (x.shape[0],)
    for index in range(x.shape[0]):

        def image(one, index=index):
            every = torch.cat([x[:index], one[None], x[index + 1 :]])
            return layer(every, condition)[0][index].flatten()

        square = jacobian(image, x[index], vectorize=True).reshape(x[index].numel(), -1)
        exact = torch.linalg.slogdet(square)[1]
        torch.testing.assert_close(exact, log_det[index], atol=1e-6 + random_error, rtol=1e-6)


def test_every_parameter_gets_a_gradient(case):
    layer, features, x = case
    if not list(layer.parameters()):
        pytest.skip("nothing to learn")
    z, log_det = layer(x, layer.share(features))
    (z.square().sum() - log_det.sum()).backward()
    for name, parameter in layer.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name


def test_float32_round_trip(case, record_property):
    layer, features, x = case
    layer, x = layer.float(), x.float()
    condition = layer.share(_map(features, torch.Tensor.float))
    error = (layer.inverse(layer(x, condition)[0], condition)[0] - x).abs().max().item()
    record_property("float32_round_trip_max_abs", error)
    assert error < ROUND_TRIP_32


def test_images_of_a_batch_do_not_see_each_other(case, random_error):
    layer, features, x = case
    z, log_det = layer(x, layer.share(features))
    alone = _map(features, lambda tensor: tensor[:1])
    first, first_log_det = layer(x[:1], layer.share(alone))
    torch.testing.assert_close(z[:1], first, atol=1e-10, rtol=0)
    torch.testing.assert_close(log_det[:1], first_log_det, atol=1e-9 + random_error, rtol=0)


@pytest.mark.parametrize("bad", [1e4, -1e4, float("nan"), float("inf")])
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_one_bad_element_never_spoils_another_image(case, random_error, bad, direction):
    layer, features, x = case
    condition = layer.share(features)
    function = layer if direction == "forward" else layer.inverse
    clean = x if direction == "forward" else layer(x, condition)[0].detach()
    dirty = clean.clone()
    dirty[0].view(-1)[0] = bad
    expected, log_det = function(clean, condition)
    found, found_log_det = function(dirty, condition)
    torch.testing.assert_close(found[1:], expected[1:], atol=1e-10, rtol=0)
    torch.testing.assert_close(found_log_det[1:], log_det[1:], atol=1e-9 + random_error, rtol=0)


def test_a_shared_condition_of_one_image_broadcasts_over_draws(case):
    layer, features, x = case
    if features is None:
        pytest.skip("unconditional")
    one = _map(features, lambda tensor: tensor[:1])
    repeated = _map(one, lambda tensor: tensor.expand(x.shape[0], *tensor.shape[1:]))
    z, log_det = layer(x, layer.share(one))
    expected, expected_log_det = layer(x, layer.share(repeated))
    torch.testing.assert_close(z, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(log_det, expected_log_det, atol=1e-9, rtol=0)


def test_state_survives_saving(case):
    layer, features, x = case
    expected, _ = layer(x, layer.share(features))
    state = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    with_random_parameters(layer)
    layer.load_state_dict(state)
    torch.testing.assert_close(layer(x, layer.share(features))[0], expected)


def _map(features, function):
    if isinstance(features, dict):
        return {key: _map(value, function) for key, value in features.items()}
    return None if features is None else function(features)
