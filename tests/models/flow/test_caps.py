"""Caps around the couplings, and what pipeline.stability.measure.bounds states of a network for every input."""

import math
from pathlib import Path

import pytest
import torch

from models.flow.caps import Caps, soft_cap, soft_cap_above, undo_soft_cap
from models.flow.layers.actnorm import ActNorm, initializing
from models.flow.layers.invertible_conv import BoundedConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.transforms import Affine, CertifiedSpline, RationalQuadraticSpline
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow
from pipeline.errors import ConfigError
from pipeline.model_folder import ModelConfig, build
from pipeline.params import load_params
from pipeline.stability.measure.bounds import restoration_bound

ENCODER = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
CAPS = Caps(prior_mean=2.0, prior_log_scale=1.0, actnorm_log_scale=1.5, singular_value=1.25)


def super_resolution(transform, caps=None):
    return SuperResolutionFlow(transform, 4, 3, 2, 4, [0, 1, 1], "learned", ENCODER, caps=caps)


def low_light(transform, caps=None):
    return LowLightFlow(transform, 1, 4, "learned", ENCODER, caps=caps)


def inputs(network):
    """Return one extreme input that the network takes."""
    if isinstance(network, LowLightFlow):
        return torch.rand(1, 6, 16, 16).round() * 7.0 - 6.9
    return torch.rand(1, 3, 4, 4).round()


def go_mad(network, spread):
    """Give every parameter a value that no training leads to."""
    with torch.no_grad():
        for name, parameter in network.flow.named_parameters():
            parameter.copy_((0.05 if name.endswith("logs") else spread) * torch.randn_like(parameter))


def test_a_soft_cap_is_the_identity_near_zero_and_never_exceeds_its_bound():
    values = torch.tensor([-1e30, -5.0, -1e-3, 0.0, 1e-3, 5.0, math.inf])
    capped = soft_cap(values, 2.0)
    assert capped.abs().max() <= 2.0
    torch.testing.assert_close(capped[2:5], values[2:5], rtol=1e-5, atol=0.0)
    inside = torch.linspace(-1.9, 1.9, 9)
    torch.testing.assert_close(soft_cap(undo_soft_cap(inside, 2.0), 2.0), inside)
    assert soft_cap(values, math.inf) is values


def test_a_cap_from_above_leaves_what_is_below_zero_as_it_is():
    values = torch.tensor([-math.inf, -1e30, -5.0, 0.0, 1e-3, 5.0, math.inf])
    capped = soft_cap_above(values, 2.0)
    torch.testing.assert_close(capped[:4], values[:4], rtol=0.0, atol=0.0)
    torch.testing.assert_close(capped[3:], soft_cap(values[3:], 2.0), rtol=0.0, atol=0.0)
    assert soft_cap_above(values, math.inf) is values
    x = torch.tensor([-1e-4, 1e-4], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(soft_cap_above(x, 2.0).sum(), x)
    torch.testing.assert_close(slope, torch.ones_like(slope), rtol=1e-6, atol=0.0)


def test_a_capped_actnorm_starts_from_data_as_far_as_it_may():
    x = torch.randn(4, 2, 16, 16) * torch.tensor([0.5, 1e-4]).view(1, 2, 1, 1)
    layer = ActNorm(2, cap=2.0)
    with initializing(layer):
        layer(x)
    deviation = layer(x)[0].detach().std((0, 2, 3))
    assert deviation[0] == pytest.approx(1.0, rel=0.01)
    assert deviation[1] == pytest.approx(1e-4 * math.exp(2.0), rel=0.05)


def test_a_bounded_convolution_keeps_its_singular_values():
    layer = BoundedConv1x1(12, limit=1.5)
    with torch.no_grad():
        layer.weight.normal_(0.0, 5.0)
        layer.log_scale.normal_(0.0, 5.0)
    pixels = torch.eye(12).reshape(12, 12, 1, 1)
    values = torch.linalg.svdvals(layer(pixels)[0].reshape(12, 12).double())
    assert values.max() <= 1.5 * (1 + 1e-6)
    assert values.min() >= (1 - 1e-6) / 1.5
    assert values.max() / values.min() > 1.5  # it is not merely orthogonal


def test_split_keeps_its_prior_below_the_caps():
    layer = Split(4, Squeeze(), factor=2, caps=CAPS)
    torch.nn.init.normal_(layer.prior.conv.weight, 0.0, 100.0)
    mean, logs = layer._prior(torch.randn(2, 2, 8, 8))
    assert 1.0 < mean.abs().max() <= 2.0
    assert 0.5 < logs.max() <= 1.0 < -logs.min()  # nothing is gained by a bound of what shrinks
    assert layer.prior_bounds() == (2.0, pytest.approx(math.e))


@pytest.mark.parametrize("make", [super_resolution, low_light])
def test_without_caps_nothing_changes(make):
    torch.manual_seed(0)
    plain = make(Affine())
    torch.manual_seed(0)
    capped = make(Affine(), caps=Caps())
    assert plain.state_dict().keys() == capped.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), capped.parameters(), strict=True))


@pytest.mark.parametrize("make", [super_resolution, low_light])
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_no_weights_carry_the_output_past_the_bound(make, spread):
    spline = CertifiedSpline(lipschitz=4.0, shift=0.5)
    for _ in range(5):
        network = make(spline, CAPS)
        go_mad(network, spread)
        bound = restoration_bound(network).value(3.0)
        features = inputs(network)
        condition = network.share(features)
        z = 6.0 * (torch.rand(8, *network.latent_shape(*features.shape[2:])).round() - 0.5)
        x, _ = network.inverse(z, condition)
        assert x.abs().max() <= bound < math.inf


@pytest.mark.parametrize("transform", [Affine(), Affine(eps=0.1), RationalQuadraticSpline()], ids=str)
def test_other_transforms_get_no_bound(transform):
    assert restoration_bound(super_resolution(transform, CAPS)) is None


def test_an_uncapped_prior_gets_no_bound():
    assert restoration_bound(super_resolution(CertifiedSpline())) is None
    assert restoration_bound(low_light(CertifiedSpline())).value(1.0) < math.inf  # it has no split


def test_the_enlarged_picture_stays_within_its_overshoot():
    board = ((torch.arange(8)[:, None] // 2 + torch.arange(8)[None, :] // 2) % 2).float().expand(1, 3, 8, 8)
    free, capped = (super_resolution(Affine(), caps).share(board).base for caps in (None, Caps(overshoot=0.05)))
    assert free.max() > 1.2 and free.min() < -0.2
    torch.testing.assert_close(capped, free.clamp(-0.05, 1.05))
    network = super_resolution(CertifiedSpline(), CAPS)
    bounds = []
    for network.overshoot in (0.0, math.inf):
        bounds.append(restoration_bound(network).value(0.0))
    assert bounds[1] - bounds[0] == pytest.approx(1.1875**2 + 0.1875**2 - 1.0)


@pytest.mark.parametrize(
    "caps", [{"prior_mean": 0.0}, {"overshoot": -0.1}, {"singular_value": 0.5}, {"actnorm_log_scale": math.nan}]
)
def test_impossible_caps_are_refused(caps):
    with pytest.raises(ValueError, match=next(iter(caps))):
        Caps(**caps)


def test_caps_travel_from_params_to_the_network(tmp_path):
    text = (Path(__file__).resolve().parents[3] / "params.yaml").read_text(encoding="utf-8")
    caps = "{prior_mean: 2, singular_value: 1.5}"
    variant = f"\n  capped: {{transform: certified_spline, options: {{lipschitz: 4}}, caps: {caps}}}"
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("\nvariants:", "\nvariants:" + variant), encoding="utf-8")
    chosen = load_params(path).variant("capped")
    network = {"levels": 3, "steps": 1, "hidden": 4, "noise_steps": [0, 0, 0], "permutation": "learned"}
    config = ModelConfig(
        kind="super_resolution",
        task="df2k_x4",
        variant="capped",
        profile="demo",
        scale=4,
        network={**network, "encoder": ENCODER},
        transform={"name": chosen.transform, "options": chosen.options},
        caps=chosen.caps,
    )
    built = build(config)
    assert [m.limit for m in built.modules() if isinstance(m, BoundedConv1x1)] == [1.5] * 9
    assert [m.caps.prior_mean for m in built.modules() if isinstance(m, Split)] == [2.0]
    path.write_text(
        text.replace("\nvariants:", "\nvariants:" + variant.replace("prior_mean", "prior_meen")), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"caps\.prior_meen does not exist; did you mean 'prior_mean'"):
        load_params(path)
    path.write_text(text.replace("\nvariants:", "\nvariants:" + variant.replace("1.5", "0.5")), encoding="utf-8")
    with pytest.raises(ConfigError, match="singular_value must be 1 or more"):
        load_params(path)
