"""Coarse features are convolved where they live: the same sums as of the enlarged map, and their gradients."""

import pytest
import torch
from torch import nn

from models.flow.features import Features, beside, convolved, whole
from models.flow.transforms import Affine
from models.restoration.super_resolution import SuperResolutionFlow

PLACES = [(2, 5, 7), (2, 1, 1), (4, 3, 4), (3, 4, 2)]


def example(factor, height, width):
    own = torch.randn(2, 4, factor * height, factor * width, dtype=torch.float64, requires_grad=True)
    coarse = torch.randn(2, 6, height, width, dtype=torch.float64, requires_grad=True)
    conv = nn.Conv2d(10, 3, 3, padding=1, bias=False).double()
    return Features(own, coarse), conv


@pytest.mark.parametrize(("factor", "height", "width"), PLACES)
def test_what_is_convolved_is_the_enlarged_map(factor, height, width):
    features, conv = example(factor, height, width)
    torch.testing.assert_close(convolved(features, conv), conv(whole(features)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("factor", "height", "width"), PLACES)
def test_gradients_are_those_of_the_enlarged_map(factor, height, width):
    features, conv = example(factor, height, width)
    inputs = (*features, conv.weight)
    weights = torch.randn_like(conv(whole(features)))
    found = torch.autograd.grad((convolved(features, conv) * weights).sum(), inputs)
    expected = torch.autograd.grad((conv(whole(features)) * weights).sum(), inputs)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_map_as_a_whole_has_its_own_channels_first_and_the_others_enlarged():
    features, _ = example(2, 2, 3)
    assert torch.equal(whole(features)[:, :4], features.own)
    assert torch.equal(whole(features)[:, 4:], features.coarse.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize("size", [4, 8])
def test_what_need_not_be_enlarged_is_one_map(size):
    own, resized = torch.randn(1, 2, 4, 4), torch.randn(1, 3, size, size)
    seen = beside(own, resized)
    assert torch.equal(seen, torch.cat([own, resized[:, :, :: size // 4, :: size // 4]], 1))


def test_an_encoder_without_taps_shows_one_map():
    own = torch.randn(1, 2, 4, 4)
    assert torch.equal(beside(own, own[:, :0, :2, :2]), own)


@pytest.mark.parametrize(("scale", "levels"), [(4, 3), (8, 4)])
@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])
def test_a_flow_gives_what_it_gives_for_enlarged_maps(scale, levels, dtype, relative):
    """Value, log_det, draw and every gradient, beside the plain form: whole maps, convolved as they are."""
    torch.manual_seed(0)
    encoder = {"channels": 6, "blocks": 2, "growth": 4, "taps": [0, 1]}
    network = SuperResolutionFlow(Affine(eps=1e-4), scale, levels, 1, 8, [], "learned", encoder).to(dtype)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "out.conv" in name or "prior" in name:
                parameter.normal_(0.0, 0.02)
    lr, hr = torch.rand(2, 3, 4, 6, dtype=dtype), torch.rand(2, 3, 4 * scale, 6 * scale, dtype=dtype)
    network(hr, network.share(lr))  # initializes activation norms

    def results():
        condition = network.share(lr)
        z, log_det = network(hr, condition)
        network.zero_grad()
        (z.square().sum() - log_det.sum()).backward()
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        return [z.detach(), log_det.detach(), network.inverse(z.detach(), condition)[0].detach(), *gradients]

    found = results()
    encode = network.encoder.forward
    network.encoder.forward = lambda *seen: {level: whole(each) for level, each in encode(*seen).items()}
    assert any(isinstance(each, Features) for each in encode(lr, levels).values())
    for now, plain in zip(found, results(), strict=True):
        scale_of = plain.abs().max()
        assert (now - plain).abs().max() <= relative * scale_of


def test_gradients_flow_also_after_inference_mode_filled_the_cache():
    features, conv = example(5, 1, 2)  # a factor that no other test has
    with torch.inference_mode():
        convolved(features, conv)
    convolved(features, conv).sum().backward()
    assert conv.weight.grad.abs().sum() > 0
