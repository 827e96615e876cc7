"""What makes our networks the published ones: sizes, unread tensors, and where the code differs from the papers."""

import math

import pytest
import torch
from torch.nn import functional as F

from models.flow.features import whole
from models.flow.transforms import Affine, RationalQuadraticSpline
from models.restoration.encoders.low_light import LowLightEncoder
from models.restoration.encoders.rrdb import RRDBEncoder
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow

LARGE = {"channels": 64, "blocks": 24, "growth": 32, "taps": [1, 3, 5, 7]}
SMALL = {"channels": 32, "blocks": 4, "growth": 32, "taps": [1]}
RRDB = {"channels": 64, "blocks": 23, "growth": 32, "taps": [1, 8, 15, 22]}
TINY = {"channels": 4, "blocks": 2, "growth": 2, "taps": [0, 1]}


def size(kind, *arguments, **options):
    """Return (parameters, of the encoder, unread ones) of a network that is never filled."""
    with torch.device("meta"):
        network = kind(*arguments, published=True, **options)
    parts = (network, network.encoder, network.unread)
    return tuple(sum(parameter.numel() for parameter in part.parameters()) for part in parts)


@pytest.mark.parametrize(
    ("found", "millions"),
    [
        pytest.param((LowLightFlow, Affine(), 12, 64, "learned", LARGE), 38.86, id="LLFlow"),
        pytest.param((LowLightFlow, Affine(), 4, 64, "learned", SMALL), 5.43, id="LLFlow small"),
        pytest.param((SuperResolutionFlow, Affine(), 4, 3, 16, 64, [], "learned", RRDB), 39.54, id="SRFlow 4x"),
        pytest.param(
            (SuperResolutionFlow, Affine(), 4, 3, 16, 64, [0, 16, 16], "learned", RRDB), 41.66, id="FS-NCSR 4x"
        ),
        pytest.param(
            (SuperResolutionFlow, RationalQuadraticSpline(), 4, 3, 16, 64, [0, 16, 16], "learned", RRDB),
            46.55,
            id="RQ-spline 4x",
        ),
        pytest.param(
            (SuperResolutionFlow, Affine(), 8, 4, 20, 64, [0, 0, 16, 16], "learned", RRDB), 64.52, id="FS-NCSR 8x"
        ),
        pytest.param(
            (SuperResolutionFlow, RationalQuadraticSpline(), 8, 4, 20, 64, [0, 0, 16, 16], "learned", RRDB),
            77.28,
            id="RQ-spline 8x",
        ),
    ],
)
def test_networks_have_the_published_sizes(found, millions):
    kind, *arguments = found
    assert math.isclose(size(kind, *arguments)[0] / 1e6, millions, abs_tol=0.005)


def test_the_sizes_of_the_parts():
    total, encoder, unread = size(LowLightFlow, Affine(), 12, 64, "learned", LARGE)
    assert (total, encoder, unread) == (38_859_481, 17_421_059, 1_182_086)
    total, encoder, unread = size(SuperResolutionFlow, Affine(), 4, 3, 16, 64, [], "learned", RRDB)
    assert (total, encoder, unread) == (39_541_811, 16_697_987, 276_576)


def tiny(**options):
    torch.manual_seed(0)
    return SuperResolutionFlow(Affine(), 4, 3, 2, 4, [0, 1, 2], "learned", TINY, **options)


def test_unread_tensors_are_held_but_take_no_part():
    plain, published = tiny(), tiny(published=True)
    extra = published.state_dict().keys() - plain.state_dict().keys()
    assert extra and all(name.startswith("unread.") for name in extra)
    assert plain.state_dict().keys() <= published.state_dict().keys()
    # level 1 has no noise couplings, level 2 one of two, level 3 both
    assert sorted(published.unread["noise"]) == ["level_1_step_1", "level_1_step_2", "level_2_step_1"]
    assert not any(parameter.requires_grad for parameter in published.unread.parameters())


def test_without_residual_the_flow_models_the_picture_itself():
    network, lr, hr = tiny(residual=False), torch.rand(1, 3, 4, 4), torch.rand(1, 3, 16, 16)
    condition = network.share(lr)
    torch.testing.assert_close(network(hr, condition)[0], network.flow(hr, condition.shared)[0])
    residual = tiny()
    base = F.interpolate(lr, scale_factor=4, mode="bicubic", align_corners=False)
    expected = residual.flow(hr - base, residual.share(lr).shared)[0]
    torch.testing.assert_close(residual(hr, residual.share(lr))[0], expected)


def test_the_super_resolution_encoder_reads_what_the_published_code_reads():
    """The skip spans the trunk's last convolution alone, and the enlarged maps are activated (in place)."""
    torch.manual_seed(0)
    encoder, lr = RRDBEncoder(**TINY, scale=8), torch.rand(1, 3, 6, 6)
    features = {level: whole(seen) for level, seen in encoder(lr, 4).items()}
    x = encoder.first(lr)
    taps = []
    for block in encoder.trunk:
        x = block(x)
        taps.append(x)
    trunk = x + encoder.trunk_conv(x)
    up2 = F.leaky_relu(encoder.ups[0](F.interpolate(trunk, scale_factor=2)), 0.2)
    up4 = F.leaky_relu(encoder.ups[1](F.interpolate(up2, scale_factor=2)), 0.2)
    down = F.interpolate(trunk, scale_factor=0.5, mode="bilinear", align_corners=False)
    for level, feature in enumerate((up4, up2, trunk, down), 1):
        torch.testing.assert_close(features[level][:, :4], feature)
        torch.testing.assert_close(features[level][:, 4:8], F.interpolate(taps[0], size=feature.shape[2:]))


def test_the_low_light_encoder_reads_what_the_published_code_reads():
    """The skip spans the whole trunk; of the smaller maps only level 2's is activated (in place)."""
    torch.manual_seed(0)
    encoder = LowLightEncoder(**TINY)
    heads, trunks = [], []
    encoder.second.register_forward_hook(lambda module, arguments, output: heads.append(F.max_pool2d(output, 2)))
    encoder.trunk_conv.register_forward_hook(lambda module, arguments, output: trunks.append(output))
    features, _ = encoder(torch.rand(1, 6, 16, 16) - 1.0)
    half = heads[0] + trunks[0]

    def smaller(feature, conv):
        return conv(F.interpolate(feature, scale_factor=0.5, mode="bilinear", align_corners=False))

    quarter = F.leaky_relu(smaller(half, encoder.downs[0]), 0.2)
    for level, feature in enumerate((half, quarter, smaller(quarter, encoder.downs[1])), 1):
        torch.testing.assert_close(features[level][:, :4], feature)
