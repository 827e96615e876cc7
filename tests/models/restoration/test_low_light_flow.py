"""LLFlow: its encoder's maps by hand, its latent's mean, and the contract on a tiny network."""

import pytest
import torch
from bijection_cases import with_random_parameters
from torch.autograd.functional import jacobian

from models.flow.transforms import TRANSFORMS, Affine
from models.restoration.encoders.low_light import LowLightEncoder, change, color_ratio
from models.restoration.low_light import LowLightFlow
from models.restoration.shielding import add_shield, fit_shield, ranges_of
from pipeline.inference.sampling import draw_images

ENCODER = {"channels": 4, "blocks": 2, "growth": 2, "taps": [1]}


def tiny(transform=None, seed=0):
    torch.manual_seed(seed)
    network = LowLightFlow(transform or Affine(), 1, 4, "learned", ENCODER)
    with_random_parameters(network)
    return network.double()


def seen(batch=1, height=16, width=8, dtype=torch.float64):
    """Return what the encoder sees of a random dark picture."""
    low = 0.2 * torch.rand(batch, 3, height, width, dtype=dtype)
    return torch.cat([(low + 1e-3).clamp(min=1e-3).log(), torch.rand(batch, 3, height, width, dtype=dtype)], 1)


def test_the_colour_ratio_by_hand():
    picture = torch.tensor([[0.2, 0.0], [0.1, 0.0], [0.1, 0.0]]).reshape(1, 3, 1, 2)
    expected = torch.tensor([[0.2 / 0.4001, 0.0], [0.1 / 0.4001, 0.0], [0.1 / 0.4001, 0.0]]).reshape(1, 3, 1, 2)
    torch.testing.assert_close(color_ratio(picture), expected)


def test_the_map_of_change_by_hand():
    values = torch.tensor([[1.0, 2.0, 4.0], [8.0, 8.0, 0.0]]).reshape(1, 1, 2, 3)
    # halves of next minus previous with zeros outside: down (4, 4, 0), (-.5, -1, -2); right (1, 1.5, -1), (4, -4, -4)
    expected = torch.tensor([[4.0, 4.0, 1.0], [4.0, 4.0, 4.0]]).reshape(1, 1, 2, 3)
    torch.testing.assert_close(change(values), expected)


def test_the_encoder_sees_twelve_channels(monkeypatch):
    encoder, features = LowLightEncoder(**ENCODER), seen(2, dtype=torch.float32)
    inputs = []
    encoder.first.register_forward_hook(lambda module, arguments, output: inputs.append(arguments[0]))
    levels, color_map = encoder(features)
    picture = features[:, :3].exp()
    ratio = picture / (picture.sum(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(inputs[0][:, :6], features)
    torch.testing.assert_close(inputs[0][:, 6:9], ratio)
    torch.testing.assert_close(inputs[0][:, 9:, 0, 0], 0.5 * torch.maximum(ratio[:, :, 1, 0], ratio[:, :, 0, 1]))
    assert {level: tuple(feature.shape) for level, feature in levels.items()} == {
        1: (2, 8, 8, 4),
        2: (2, 8, 4, 2),
        3: (2, 8, 2, 1),
    }
    assert color_map.shape == (2, 3, 16, 8)
    assert 0.0 < color_map.min() <= color_map.max() < 1.0
    # g is one value per 2 x 2 pixels: a 1x1 convolution of the enlarged half-size map
    blocks = torch.nn.functional.pixel_unshuffle(color_map, 2).unflatten(1, (3, 4))
    assert torch.equal(blocks, blocks[:, :, :1].expand_as(blocks))


@pytest.mark.parametrize("transform", [kind() for kind in TRANSFORMS.values()], ids=str)
def test_round_trip_and_log_det_against_autograd(transform):
    network, features = tiny(transform), seen(height=8)
    condition = network.share(features)
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    z, log_det = network(x, condition)
    assert z.shape == (1, *network.latent_shape(8, 8)) == (1, 192, 1, 1)
    back, log_det_back = network.inverse(z, condition)
    torch.testing.assert_close(back, x, atol=1e-9, rtol=0)
    torch.testing.assert_close(log_det_back, -log_det)
    square = jacobian(lambda one: network(one.reshape(1, 3, 8, 8), condition)[0].flatten(), x.flatten())
    torch.testing.assert_close(torch.linalg.slogdet(square)[1], log_det[0], atol=1e-7, rtol=0)


def test_the_latent_stands_around_the_colour_map():
    network, features, x = tiny(), seen(2), torch.rand(2, 3, 16, 8, dtype=torch.float64)
    _, color_map = network.encoder(features)
    condition = network.share(features)
    published_z, log_det = network.flow(x, condition.shared)
    z, same_log_det = network(x, condition)
    squeezed = torch.nn.functional.pixel_unshuffle(color_map, 8)
    torch.testing.assert_close(z + squeezed, published_z)
    torch.testing.assert_close(same_log_det, log_det)
    mean_picture = network.inverse(torch.zeros_like(z), condition)[0]
    torch.testing.assert_close(mean_picture, network.flow.inverse(squeezed, condition.shared)[0])


def test_the_coin_puts_the_true_ratio_in_place_of_the_map():
    network, features, x = tiny(), seen(2), torch.rand(2, 3, 16, 8, dtype=torch.float64)
    ratio = color_ratio(x)
    learned, true = network.share(features), network.share(features, ratio)
    torch.testing.assert_close(true.mean, torch.nn.functional.pixel_unshuffle(ratio, 8))
    mixed = network.share(features, ratio, torch.tensor([True, False]).view(2, 1, 1, 1))
    assert torch.equal(mixed.mean[0], true.mean[0])
    assert torch.equal(mixed.mean[1], learned.mean[1])
    # the map that the coin left out stays in the graph, with gradients of zero
    network(x, true)[0].square().sum().backward()
    assert torch.equal(network.encoder.to_color.weight.grad, torch.zeros_like(network.encoder.to_color.weight))
    network(x, mixed)[0].square().sum().backward()
    assert network.encoder.to_color.weight.grad.abs().max() > 0


def test_one_condition_serves_many_draws():
    network, features = tiny(), seen()
    condition = network.share(features)
    z = torch.randn(4, *network.latent_shape(16, 8), dtype=torch.float64)
    together, log_det = network.inverse(z, condition)
    assert together.shape == (4, 3, 16, 8)
    assert log_det.shape == (4,)
    for one, expected in zip(z, together, strict=True):
        torch.testing.assert_close(network.inverse(one[None], condition)[0][0], expected)


def test_pictures_of_any_size_are_drawn():
    network = tiny().float()
    features = seen(1, 13, 21, torch.float32)
    draws = list(draw_images(network, features, 3, 1.0, seed=0, picture="a"))
    assert [tuple(image.shape) for image in draws] == [(3, 13, 21)] * 3
    assert not torch.equal(draws[0], draws[1])
    first, second = draw_images(network, features, 2, 0.0, seed=0, picture="a")
    assert torch.equal(first, second)


def test_only_the_published_shape_is_built():
    with pytest.raises(ValueError, match="3 levels"):
        LowLightFlow(Affine(), 1, 4, "learned", ENCODER, levels=4)
    with pytest.raises(ValueError, match="taps"):
        LowLightFlow(Affine(), 1, 4, "learned", {**ENCODER, "taps": [5]})


def test_a_shielded_flow_sees_blocks_that_photographs_have_as_they_are_and_draws_in_what_none_has():
    """Photographs are dark and flat; a flat one of them stays, a bright block beside it does not."""
    network = tiny()
    add_shield(network, margin=0.05)
    shape = {name: torch.rand(one.entries, 300, dtype=torch.float64) for name, one in ranges_of(network).items()}
    dark = torch.rand(6, 1, 300, dtype=torch.float64).expand(6, 64, 300)  # each channel of a block has one value
    fit_shield(network, shape | {"feature_ranges.input": dark.reshape(384, 300) - 3.0}, 0.0)
    network.double()
    met = []
    network.encoder.register_forward_pre_hook(lambda _, given: met.append(given[0]))
    picture = torch.full((1, 6, 8, 16), -2.5, dtype=torch.float64)
    picture[..., 8:] = (
        torch.rand(8, 8, dtype=torch.float64).round() - 3.0
    )  # each value is in range, together they are not
    network.share(picture)
    torch.testing.assert_close(met[0][..., :8], picture[..., :8])
    assert met[0][..., 8:].std() < 0.2 * picture[..., 8:].std()
