"""A start in closed form: ridge against scikit-learn's, whitening against numpy's covariance."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from bijection_cases import TRANSFORM_CASES
from sklearn.linear_model import Ridge
from torch.nn import functional as F

from models.flow.bijection import Chain
from models.flow.layers.actnorm import ActNorm, initializing
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import InvertibleConv1x1
from models.flow.memory_saving import save_memory
from models.flow.transforms import Affine, CertifiedSpline, RationalQuadraticSpline
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow
from pipeline.training.closed_form import starting

FEATURES, HIDDEN, RIDGE = 3, 5, 0.02
ENCODER = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
LAYERS = {
    "coupling": lambda transform: Coupling(4, transform, FEATURES, HIDDEN),
    "injector": lambda transform: Injector(4, transform, FEATURES, HIDDEN),
}
FLOWS = {
    "super-resolution": (
        lambda: SuperResolutionFlow(Affine(), 4, 3, 2, 4, [0, 1, 1], "learned", ENCODER),
        lambda: (torch.rand(3, 3, 32, 32), torch.rand(3, 3, 8, 8)),
    ),
    "low-light": (
        lambda: LowLightFlow(RationalQuadraticSpline(), 1, 4, "learned", ENCODER),
        lambda: (torch.rand(3, 3, 32, 32), torch.rand(3, 6, 32, 32).log()),
    ),
}


def smooth(*shape):
    """Return values whose channels and neighbours are alike, as those of pictures are."""
    values = F.avg_pool2d(torch.randn(*shape), 3, 1, 1, count_include_pad=False)
    return values + 0.5 * values.roll(1, 1)


def apply(flow, batch):
    target, seen = batch
    return flow(target, flow.share(seen))


@pytest.fixture(params=list(FLOWS))
def case(request):
    torch.manual_seed(0)
    flow, batch = FLOWS[request.param]
    return flow, batch()


# A shield comes after training, so nothing starts from one.
@pytest.mark.parametrize("name", [name for name in TRANSFORM_CASES if not name.startswith("shield")])
def test_the_shift_that_centres_a_value_brings_it_to_zero(name):
    """A bounded shift cannot in full: it brings it as near as it can, and never past zero."""
    transform = TRANSFORM_CASES[name]
    x = torch.linspace(-0.15, 0.15, 6).view(1, 1, 1, 6)
    raw = torch.zeros(1, transform.parameters_per_channel, 1, 6)
    raw[:, transform.shift_place] = transform.centring_shift(x)[:, 0]
    y = transform.forward(x, raw)[0]
    if isinstance(transform, CertifiedSpline):
        assert torch.all(y.abs() <= 0.25 * x.abs() + 1e-6)
        assert torch.all(y * x >= 0)
    else:
        torch.testing.assert_close(y, torch.zeros_like(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("transform", "reach"), [(Affine(), np.inf), (CertifiedSpline(shift=0.3), 0.3)], ids=["affine", "certified"]
)
def test_the_shift_is_the_ridge_regression_of_the_hidden_features(kind, transform, reach):
    torch.manual_seed(0)
    layer = LAYERS[kind](transform)
    x, features = smooth(3, 4, 6, 8), smooth(3, FEATURES, 6, 8)
    hidden = []
    layer.net.out.register_forward_pre_hook(lambda net, inputs: hidden.append(inputs[0]))
    with starting(layer, ridge=RIDGE):
        layer(x, layer.share({"encoder": features}))
    padded = np.pad(hidden[0], ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    rows = patches.transpose(0, 2, 3, 1, 4, 5).reshape(3 * 6 * 8, -1)
    wanted = -x[:, -layer.transformed :].permute(0, 2, 3, 1).reshape(len(rows), -1).double().numpy()
    wanted = np.clip(wanted, -reach, reach)
    reference = Ridge(alpha=RIDGE * len(rows)).fit(rows.astype(np.float64), wanted)
    place, step = transform.shift_place, transform.parameters_per_channel
    conv = layer.net.out.conv
    np.testing.assert_allclose(conv.weight[place::step].detach().flatten(1), reference.coef_, atol=1e-5)
    np.testing.assert_allclose(conv.bias[place::step].detach(), reference.intercept_, atol=1e-5)
    others = [number for number in range(len(conv.weight)) if number % step != place]
    assert not conv.weight[others].any() and not conv.bias[others].any()


def test_a_whitened_convolution_sends_out_uncorrelated_channels():
    torch.manual_seed(0)
    chain = Chain([ActNorm(4), InvertibleConv1x1(4)])
    x = smooth(8, 4, 16, 16)
    with starting(chain, whitening=True):
        started = chain(x)[0]
    whitened = chain(x)[0]
    np.testing.assert_allclose(np.cov(whitened.detach().transpose(0, 1).flatten(1), bias=True), np.eye(4), atol=1e-4)
    torch.testing.assert_close(whitened, started)


def test_a_channel_that_is_hardly_there_is_not_blown_up():
    torch.manual_seed(0)
    chain = Chain([ActNorm(4), InvertibleConv1x1(4)])
    x = smooth(8, 4, 8, 8)
    x[:, 3] = x[:, 2] + 1e-6 * torch.randn(8, 8, 8)
    with starting(chain, whitening=True):
        chain(x)
    assert torch.linalg.svdvals(chain.layers[1].weight).max() <= 10.001


def test_every_later_layer_sees_what_the_ones_before_it_already_do(case):
    """The same batch goes through the started flow as it went through while it was started."""
    make, batch = case
    flow = make()
    with starting(flow, ridge=RIDGE, whitening=True):
        z = apply(flow, batch)[0]
    torch.testing.assert_close(apply(flow, batch)[0], z, atol=1e-3, rtol=1e-3)


def test_each_part_makes_the_first_batch_likelier(case):
    make, batch = case
    batch = (smooth(3, 3, 32, 32) * 0.2 + 0.5, batch[1])
    found = []
    for parts in ({}, {"ridge": RIDGE}, {"whitening": True}, {"ridge": RIDGE, "whitening": True}):
        torch.manual_seed(1)
        flow = make()
        with starting(flow, **parts):
            z, log_det = apply(flow, batch)
        found.append(float((0.5 * z.square().flatten(1).sum(1) - log_det).mean()))
    none, ridge, whitening, both = found
    assert both < ridge < none and both < whitening < none


def weights(case, setting, memory="plain"):
    """Return the weights of a fresh flow of seed 1 after its first batch under ``setting``."""
    make, batch = case
    torch.manual_seed(1)
    flow = make()
    save_memory(flow, memory)
    with setting(flow):
        apply(flow, batch)
    return flow.state_dict()


def test_without_parts_it_is_the_start_of_actnorm_alone(case):
    plain = weights(case, initializing)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in weights(case, starting).items())


def test_what_was_started_before_stays_as_it_is(case):
    make, batch = case
    flow = make()
    with initializing(flow):
        apply(flow, batch)
    before = {name: tensor.clone() for name, tensor in flow.state_dict().items()}
    with starting(flow, ridge=RIDGE, whitening=True):
        apply(flow, batch)
    assert all(torch.equal(tensor, before[name]) for name, tensor in flow.state_dict().items())


@pytest.mark.parametrize("mode", ["checkpoint", "reversible"])
def test_it_is_the_same_however_memory_is_saved(case, mode):
    setting = functools.partial(starting, ridge=RIDGE, whitening=True)
    plain = weights(case, setting)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in weights(case, setting, mode).items())


def test_nothing_stays_hooked(case):
    make, batch = case
    flow = make()
    with starting(flow, ridge=RIDGE, whitening=True):
        apply(flow, batch)
    assert not any(module._forward_pre_hooks for module in flow.modules())
