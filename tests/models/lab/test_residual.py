"""Invertible residual networks: operator norms, log-determinants against autograd, and an inverse that owns up."""

import math
import warnings

import pytest
import torch
from torch.autograd.functional import jacobian
from torch.nn import functional as F

from models.flow.layers.actnorm import ActNorm
from models.lab.lipschitz import LipschitzNet, LipSwish, SpectralConv2d, update_lipschitz
from models.lab.log_det import Exact, PowerSeries, Roulette
from models.lab.logit import Logit
from models.lab.residual import NotConvergedWarning, ResidualBlock, residual_flow, residual_flow_of_points

SIZE = (5, 4)


def operator(conv, size=SIZE):
    """Return the matrix of a convolution, its weights as they are applied, without bias."""
    one = torch.eye(conv.weight.shape[1] * math.prod(size), dtype=torch.float64).view(-1, conv.weight.shape[1], *size)
    return (conv(one) - conv(torch.zeros_like(one[:1]))).flatten(1).T


def conv_of(scale, kernel=3, coefficient=0.9):
    torch.manual_seed(0)
    conv = SpectralConv2d(2, 3, kernel, coefficient, SIZE).double()
    with torch.no_grad():
        conv.weight.mul_(scale)
    conv.update(2000, 1e-13)
    return conv


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_norm_is_that_of_the_whole_operator(kernel):
    conv = conv_of(3.0, kernel)
    raw = F.conv2d(
        torch.eye(2 * math.prod(SIZE), dtype=torch.float64).view(-1, 2, *SIZE), conv.weight, padding=kernel // 2
    )
    exact = torch.linalg.matrix_norm(raw.flatten(1), 2)
    torch.testing.assert_close(conv.norm(), exact, rtol=1e-9, atol=0)
    assert exact > 0.9
    torch.testing.assert_close(torch.linalg.matrix_norm(operator(conv), 2), torch.tensor(0.9).double())


def test_a_norm_below_the_coefficient_is_left_alone():
    conv, x = conv_of(0.01), torch.randn(1, 2, *SIZE, dtype=torch.float64)
    assert torch.equal(conv(x), F.conv2d(x, conv.weight, conv.bias, padding=1))


def test_smaller_pictures_have_a_smaller_norm():
    conv = conv_of(3.0)
    assert torch.linalg.matrix_norm(operator(conv, (3, 3)), 2) <= 0.9


def test_the_gradient_of_the_norm_is_that_of_the_largest_singular_value():
    conv = conv_of(3.0)
    found = torch.autograd.grad(conv.norm(), conv.weight)[0]
    basis = torch.eye(2 * math.prod(SIZE), dtype=torch.float64).view(-1, 2, *SIZE)
    exact = torch.linalg.svdvals(F.conv2d(basis, conv.weight, padding=1).flatten(1))[0]
    torch.testing.assert_close(found, torch.autograd.grad(exact, conv.weight)[0], rtol=1e-5, atol=1e-7)


def test_the_norm_follows_the_weights_when_told():
    net = LipschitzNet(2, 4, (3, 1, 3), 0.8, SIZE).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    update_lipschitz(net, 5000, 1e-12)
    norms = [torch.linalg.matrix_norm(operator(module), 2) for module in net if isinstance(module, SpectralConv2d)]
    assert max(norms) <= 0.8 + 1e-6
    assert net.lipschitz == pytest.approx(0.8**3)


def test_the_activation_has_slopes_of_at_most_one():
    swish, x = LipSwish().double(), torch.linspace(-30, 30, 100_001, dtype=torch.float64).requires_grad_()
    for raw in (-3.0, 0.5, 3.0):
        with torch.no_grad():
            swish.raw.fill_(raw)
        slope = torch.autograd.grad(swish(x).sum(), x)[0].abs().max()
        assert 0.9 < slope <= 1.0


def test_a_net_is_as_steep_as_it_says_at_most():
    torch.manual_seed(0)
    net = LipschitzNet(1, 3, (3, 3), 0.9, SIZE).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(10.0)
    update_lipschitz(net, 5000, 1e-12)
    for _ in range(20):
        x = 3 * torch.randn(1, 1, *SIZE, dtype=torch.float64)
        steepest = torch.linalg.matrix_norm(jacobian(net, x).reshape(20, 20), 2)
        assert steepest <= net.lipschitz + 1e-9


def steep(coefficient=0.9):
    """Return a net whose log-determinant is far from 0, as its Jacobian is near a positive multiple of the identity."""
    torch.manual_seed(0)
    net = LipschitzNet(2, 6, (3, 1, 3), coefficient, (3, 3), activation_first=False).double()
    for module in net:
        if isinstance(module, SpectralConv2d):
            torch.nn.init.dirac_(module.weight)
            torch.nn.init.constant_(module.bias, 2.0)
            with torch.no_grad():
                module.weight.add_(0.1 * torch.randn_like(module.weight))
    update_lipschitz(net, 5000, 1e-12)
    return net, torch.randn(2, 2, 3, 3, dtype=torch.float64)


def exact_log_det(net, x):
    """Return log |det(I + J)| by autograd alone, differentiable."""
    one = torch.eye(x[0].numel(), dtype=torch.float64)
    squares = [
        jacobian(lambda image: image + net(image[None])[0], image, create_graph=True).reshape(one.shape) for image in x
    ]
    return torch.stack([torch.linalg.slogdet(square)[1] for square in squares])


def test_the_exact_log_det_and_its_gradient_are_those_of_autograd():
    net, x = steep()
    parameters = list(net.parameters())
    y, found = Exact()(net, x)
    expected = exact_log_det(net, x)
    torch.testing.assert_close(y, net(x))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    one, two = (torch.autograd.grad(value.sum(), parameters, allow_unused=True) for value in (found, expected))
    for left, right in zip(one, two, strict=True):
        assert (left is None) == (right is None)
        if left is not None:
            torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-10)


def test_the_power_series_is_off_by_its_bound_at_most():
    net, x = steep(0.85)
    exact = exact_log_det(net, x)
    torch.manual_seed(0)
    for terms in (1, 3, 8):
        mean, error = mean_and_error(PowerSeries(terms, samples=100), net, x, 40)
        assert ((mean - exact).abs() <= PowerSeries(terms).bias(net.lipschitz, x[0].numel()) + 4 * error).all()
    assert PowerSeries(8).bias(net.lipschitz, x[0].numel()) < 0.1
    short, error = mean_and_error(PowerSeries(1, samples=100), net, x, 40)
    assert ((short - exact).abs() > 4 * error).all()  # one term is not enough, and it shows


def mean_and_error(estimate, net, x, draws):
    with torch.no_grad():
        values = torch.stack([estimate(net, x)[1] for _ in range(draws)])
    return values.mean(0), values.std(0) / draws**0.5


def test_russian_roulette_is_unbiased():
    net, x = steep(0.85)
    torch.manual_seed(0)
    mean, error = mean_and_error(Roulette(exact_terms=1, samples=50), net, x, 800)
    exact = exact_log_det(net, x)
    assert error.max() < 0.02
    assert ((mean - exact).abs() < 4 * error).all()


def test_gradients_of_the_roulette_are_unbiased():
    net, x = steep(0.6)
    parameter = net[2].weight
    torch.manual_seed(0)
    expected = torch.autograd.grad(exact_log_det(net, x).sum(), parameter)[0]
    estimate = Roulette(exact_terms=2, samples=200)
    found = torch.stack([torch.autograd.grad(estimate(net, x)[1].sum(), parameter)[0] for _ in range(60)])
    error = found.std(0) / 60**0.5
    assert ((found.mean(0) - expected).abs() / error).max() < 4.5
    assert (expected.abs() / error).max() > 20


def test_the_roulette_computes_log_det_without_gradients_too():
    net, x = steep()
    with torch.no_grad():
        y, value = Roulette()(net, x)
    assert not y.requires_grad and not value.requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_inverse_converges_to_rounding(dtype):
    net, x = steep(0.95)
    block, x = ResidualBlock(net, Exact()).to(dtype), x.to(dtype)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        back, _ = block.inverse(block(x)[0])
    assert (back - x).abs().max() < 2000 * torch.finfo(dtype).eps


def test_an_inverse_that_does_not_converge_says_for_how_many_and_how_far_off():
    net, x = steep(0.95)
    z = ResidualBlock(net)(x)[0].detach()
    with pytest.warns(NotConvergedWarning, match=r"2 of 2 pictures within 5 iterations; .* up to \d"), torch.no_grad():
        back, _ = ResidualBlock(net, iterations=5).inverse(z)
    assert 1e-6 < (back - x).abs().max() < 1.0  # the last iterate, neither NaN nor the answer
    z[0, 0, 0, 0] = math.nan
    with pytest.warns(NotConvergedWarning, match="1 of 2"), torch.no_grad():
        ResidualBlock(net, iterations=5).inverse(z)


def test_a_net_that_expands_is_found_out():
    net, x = steep()
    net[0].coefficient = net[2].coefficient = net[4].coefficient = 3.0
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3.0)
    update_lipschitz(net)
    with pytest.warns(NotConvergedWarning), torch.no_grad():
        ResidualBlock(net, Exact(), iterations=50).inverse(x)


def test_gradients_of_the_inverse_are_those_of_the_inverse_function():
    net, x = steep(0.8)
    block = ResidualBlock(net, Exact())
    z = block(x)[0].detach().requires_grad_()
    back, log_det = block.inverse(z)
    weight = torch.randn_like(back)
    parameters = [z, *net.parameters()]
    found = torch.autograd.grad((back * weight).sum() + log_det.sum(), parameters, allow_unused=True)

    def unrolled():
        x = z
        for _ in range(200):
            x = z - net(x)
        return (x * weight).sum() - exact_log_det(net, x).sum()

    expected = torch.autograd.grad(unrolled(), parameters, allow_unused=True)
    for one, two in zip(found, expected, strict=True):
        if two is not None:
            torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-9)


def test_a_block_is_bi_lipschitz():
    """Paper B, Table 3: 1 - L and 1 + L."""
    net, x = steep(0.9)
    values = torch.linalg.svdvals(jacobian(lambda x: ResidualBlock(net, Exact())(x[None])[0][0], x[0]).reshape(18, 18))
    assert 1 - net.lipschitz <= values.min() and values.max() <= 1 + net.lipschitz
    assert values.max() > 1.2


def test_a_residual_flow_of_pictures_has_the_papers_layers():
    flow = residual_flow(3, (8, 8), 2, 2, 8, logit=0.05)
    assert isinstance(flow.layers[0], Logit)
    assert sum(isinstance(layer, ResidualBlock) for layer in flow.layers) == 4
    assert sum(isinstance(layer, ActNorm) for layer in flow.layers) == 4
    places = [layer.place for layer in flow.layers]
    assert None not in places and len(set(places)) == len(places)
    z, log_det = flow(torch.rand(2, 3, 8, 8))
    assert z.shape == (2, 48, 2, 2) and log_det.shape == (2,)


def test_a_deep_flow_of_points_inverts_where_it_was_never_trained():
    """What affine flows fail at (paper B, Fig. 2): far from any data, in float32."""
    torch.manual_seed(0)
    flow = residual_flow_of_points(blocks=20, hidden=16)
    x = 8 * (2 * torch.rand(200, 2, 1, 1) - 1)
    with torch.no_grad():
        assert (flow.inverse(flow(x)[0])[0] - x).abs().max() < 1e-3


@pytest.mark.parametrize("a", [0.0, 0.5, -1.0, math.nan])
def test_an_impossible_logit_is_refused(a):
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        Logit(a)
