"""What single layers promise beyond the contract."""

from __future__ import annotations

import pytest
import torch

from models.flow.bijection import standard_normal_log_prob
from models.flow.features import whole
from models.flow.layers.actnorm import ActNorm, initializing
from models.flow.layers.conditional_net import ConditionalNet
from models.flow.layers.invertible_conv import FixedOrthogonalConv1x1, InvertibleConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.multiscale import multiscale_flow
from models.flow.transforms import Affine, RationalQuadraticSpline
from models.restoration.encoders.rrdb import RRDBEncoder
from models.restoration.super_resolution import SuperResolutionFlow

ENCODER = {"channels": 4, "blocks": 2, "growth": 2, "taps": [0, 1]}


def tiny_flow(transform=None, **changes):
    sizes = {"scale": 4, "levels": 3, "steps": 2, "hidden": 4, "noise_steps": [0, 1, 2], "permutation": "learned"}
    return SuperResolutionFlow(transform or Affine(), **{**sizes, "encoder": ENCODER, **changes})


def test_actnorm_starts_from_data_and_only_once():
    layer, x = ActNorm(3), torch.randn(4, 3, 8, 8) * 5 + 2
    assert torch.equal(layer(x)[0], x)
    with initializing(layer):
        layer(x)
    z, _ = layer(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    before = layer.bias.clone()
    with initializing(layer):
        layer(x * 7)
    assert torch.equal(layer.bias, before)


def test_actnorm_that_was_loaded_is_not_started_again():
    first, second = ActNorm(2), ActNorm(2)
    with initializing(first):
        first(torch.randn(4, 2, 4, 4) + 3)
    second.load_state_dict(first.state_dict())
    with initializing(second):
        second(torch.randn(4, 2, 4, 4) * 9)
    assert torch.equal(first.bias, second.bias)


def test_fixed_orthogonal_is_orthogonal_and_learns_nothing():
    layer = FixedOrthogonalConv1x1(8)
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(8).double(), atol=1e-12, rtol=0)
    assert not list(layer.parameters())


def test_squeeze_channel_order():
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert Squeeze()(x)[0].flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_split_prior_is_the_published_density():
    """log_det + log N(eps; 0, I) equals log N(z2; mean, exp(logs)) up to what passes on."""
    torch.manual_seed(0)
    layer = Split(4, Squeeze(), factor=2)
    torch.nn.init.normal_(layer.prior.conv.weight, 0, 0.1)
    torch.nn.init.normal_(layer.prior.conv.bias, 0, 0.5)
    x = torch.randn(2, 4, 4, 4)
    z, log_det = layer(x)
    raw = layer.prior(x[:, :2])
    mean, logs = raw[:, 0::2], raw[:, 1::2]  # Glow's cross split: even channels mean, odd ones logs
    expected = torch.distributions.Normal(mean, logs.exp()).log_prob(x[:, 2:]).flatten(1).sum(1)
    found = standard_normal_log_prob(z[:, 8:]) + log_det
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_affine_is_the_published_formula():
    x, t, raw = torch.randn(3, 1, 2, 4, 4).unbind(0)
    h = torch.stack([t, raw], 2).flatten(1, 2)
    y, log_derivative = Affine(eps=1e-4).forward(x, h)
    s = torch.sigmoid(raw + 2) + 1e-4
    torch.testing.assert_close(y, (x + t) * s)
    torch.testing.assert_close(log_derivative, s.log())
    bounded = Affine(eps=0.1)
    s = bounded.forward(x, torch.full_like(h, -50.0))[1].exp()
    torch.testing.assert_close(s, torch.full_like(s, 0.1))
    assert bounded.forward(x, torch.full_like(h, 50.0))[1].exp().max() < 1.1 + 1e-6


def test_spline_equals_the_textbook_formula():
    """Durkan et al. 2019, eq. 4, written directly, in float64."""
    torch.manual_seed(0)
    spline = RationalQuadraticSpline()
    x = torch.rand(1, 1, 1, 500, dtype=torch.float64) - 0.5
    w, h, v, t = torch.randn(4, dtype=torch.float64)
    raw = torch.stack([w, h, v, t]).reshape(1, 4, 1, 1).expand(-1, -1, 1, 500)
    eps = 1e-3
    a, b = eps + (1 - 2 * eps) * torch.sigmoid(w), eps + (1 - 2 * eps) * torch.sigmoid(h)
    d = eps + (1 - eps) * v.exp()
    expected = []
    for value in x.flatten():
        if value < a - 0.5:
            x0, y0, width, height, d0, d1 = -0.5, -0.5, a, b, 1.0, d
        else:
            x0, y0, width, height, d0, d1 = a - 0.5, b - 0.5, 1 - a, 1 - b, d, 1.0
        xi, s = (value - x0) / width, height / width
        above = height * (s * xi**2 + d0 * xi * (1 - xi))
        expected.append(y0 + above / (s + (d1 + d0 - 2 * s) * xi * (1 - xi)) + t)
    torch.testing.assert_close(spline.forward(x, raw)[0].flatten(), torch.stack(expected), atol=1e-12, rtol=0)


def test_spline_starts_as_the_identity_and_moves_by_less_than_the_box():
    spline, x = RationalQuadraticSpline(), torch.linspace(-2, 2, 101).reshape(1, 1, 1, -1)
    y, log_derivative = spline.forward(x, torch.zeros(1, 4, 1, 101))
    torch.testing.assert_close(y, x, atol=1e-6, rtol=0)
    torch.testing.assert_close(log_derivative, torch.zeros_like(x), atol=1e-5, rtol=0)
    h = 10 * torch.randn(1, 4, 1, 101)
    moved = spline.inverse(x, h)[0] - (x - h[:, 3::4])
    assert moved.abs().max() <= 1.0


@pytest.mark.parametrize("spread", [2.0, 6.0, 20.0])
def test_spline_inverse_never_fails_in_float32(spread):
    """The textbook inverse asserts a non-negative discriminant and dies here; ours is as good as float32 can be.

    Where the slope is extreme, x or y alone must be far off after rounding; never are both.
    """
    torch.manual_seed(0)
    spline, y = RationalQuadraticSpline(), torch.rand(1, 1, 300, 300) * 1.4 - 0.7
    h = spread * torch.randn(1, 4, 300, 300)
    h[:, 3] = 0.0
    x, log_derivative = spline.inverse(y, h)
    assert x.isfinite().all() and log_derivative.isfinite().all()
    exact = spline.inverse(y.double(), h.double())[0]
    residual = (spline.forward(x.double(), h.double())[0] - y).abs()
    assert torch.minimum(residual, (x - exact).abs()).max() < 2e-4


def test_sharing_equals_the_undivided_network():
    torch.manual_seed(0)
    net = ConditionalNet(3, 5, 8, 4)
    torch.nn.init.normal_(net.out.conv.weight)
    x, f = torch.randn(2, 3, 6, 6), torch.randn(2, 5, 6, 6)
    weight = torch.cat([net.from_x.weight, net.from_features.weight], 1)
    first = torch.nn.functional.conv2d(torch.cat([x, f], 1), weight, padding=1)
    h = torch.relu(net.norm2(net.mix(torch.relu(net.norm1(first)[0])))[0])
    torch.testing.assert_close(net(x, net.share(f)), net.out(h), atol=1e-5, rtol=1e-5)


def test_the_encoder_runs_once_for_all_draws(monkeypatch):
    network, calls = tiny_flow(), []
    forward = network.encoder.forward
    monkeypatch.setattr(network.encoder, "forward", lambda *a: calls.append(1) or forward(*a))
    condition = network.share(torch.rand(1, 3, 4, 4))
    for temperature in (0.0, 0.5, 1.0):
        network.inverse(temperature * torch.randn(3, *network.latent_shape(4, 4)), condition)
    assert len(calls) == 1


@pytest.mark.parametrize(("scale", "levels"), [(4, 3), (8, 4)])
def test_encoder_features_have_the_size_of_each_level(scale, levels):
    encoder = RRDBEncoder(**ENCODER, scale=scale)
    features = encoder(torch.rand(1, 3, 6, 8), levels)
    for level, feature in features.items():
        assert whole(feature).shape == (1, encoder.feature_channels, 6 * scale // 2**level, 8 * scale // 2**level)
    assert encoder.restore(torch.rand(1, 3, 6, 8)).shape == (1, 3, 6 * scale, 8 * scale)


def test_encoder_has_the_published_size():
    """SRFlow's RRDB at 4x: 16.70 M parameters (nb 23, nf 64, gc 32)."""
    encoder = RRDBEncoder(64, 23, 32, [1, 8, 15, 22], 4)
    assert sum(p.numel() for p in encoder.parameters()) == 16_697_987


def test_8x_flow_has_four_levels_and_two_splits():
    network = tiny_flow(scale=8, levels=4, noise_steps=[0, 0, 1, 1], permutation="fixed_orthogonal")
    assert network.latent_shape(2, 2) == (768, 1, 1)
    x = torch.rand(2, 3, 16, 16)
    condition = network.share(torch.rand(2, 3, 2, 2))
    z, _ = network(x, condition)
    assert z.shape == (2, 768, 1, 1)
    torch.testing.assert_close(network.inverse(z, condition)[0], x, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "sizes",
    [{"levels": 1}, {"noise_steps": [0, 1]}, {"noise_steps": [0, 1, 9]}, {"encoder": {**ENCODER, "taps": [7]}}],
)
def test_impossible_sizes_say_why(sizes):
    with pytest.raises(ValueError, match=r"levels|noise_steps|taps"):
        tiny_flow(**sizes)


@pytest.mark.parametrize("options", [{"eps": 0.0}, {"eps": -1.0}, {"eps": float("nan")}])
def test_impossible_scales_are_refused(options):
    with pytest.raises(ValueError, match="eps"):
        Affine(**options)


def test_flow_learns_a_toy_density():
    """A few steps of likelihood training on one batch must bring the nll down."""
    torch.manual_seed(0)
    flow = multiscale_flow(RationalQuadraticSpline(), 1, 2, 8, 2, noise_steps=[0])
    x, features = 0.1 * torch.randn(16, 3, 8, 8) + 0.3, {1: {"encoder": torch.randn(16, 2, 4, 4)}}
    with initializing(flow):
        flow(x, flow.share(features))
    optimizer = torch.optim.Adam(flow.parameters(), 5e-3)
    losses = []
    for _ in range(30):
        z, log_det = flow(x, flow.share(features))
        loss = -(standard_normal_log_prob(z) + log_det).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_invertible_1x1_convolution_is_a_convolution(dtype):
    layer, x = InvertibleConv1x1(6).to(dtype), torch.randn(2, 6, 3, 5, dtype=dtype)
    expected = torch.nn.functional.conv2d(x, layer.weight[:, :, None, None])
    torch.testing.assert_close(layer(x)[0], expected)
    torch.testing.assert_close(layer(x.contiguous(memory_format=torch.channels_last))[0], expected)
