"""What each kind of restoration makes of stored pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.flow.transforms import Affine
from pipeline.errors import ConfigError
from pipeline.feed.bicubic import imresize
from pipeline.inference.held_out import spread
from pipeline.inference.sampling import draw_images, pad_to_multiple
from pipeline.kinds import KINDS
from pipeline.kinds.contract import Drawing
from pipeline.kinds.low_light import LowLight
from pipeline.params import load_params
from pipeline.pictures.eight_bit import to_tensor, to_uint8, value_statistics
from pipeline.stability.stress import STRESS, stress_inputs

SMOKE = load_params().profiles["smoke"]
TASKS = {"super_resolution": ("df2k_x4", 4), "low_light": ("lol", 1)}


def sides_of(kind, count=4, size=32):
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)]
    each = [kind.sides_of(picture, str(index)) for index, picture in enumerate(pictures)]
    return [torch.cat([to_tensor(sides[place]) for sides in each]) for place in range(len(each[0]))]


@pytest.fixture(params=list(KINDS))
def case(request):
    torch.manual_seed(0)
    kind, (task, scale) = KINDS[request.param], TASKS[request.param]
    settings = SMOKE[task]
    return kind, scale, settings, kind.network(settings.network.model_dump(), scale, transform=Affine())


def test_a_batch_goes_through_the_objective(case):
    kind, scale, settings, network = case
    batch = kind.batch(sides_of(kind), scale, settings.training, Drawing(1, 0, range(4)))
    assert kind.objective(network)(*batch).isfinite()
    encoder = kind.encoder(settings.network.encoder.model_dump(), scale)
    network.encoder.load_state_dict(encoder.state_dict())
    assert kind.pretraining(encoder)(*kind.batch(sides_of(kind), scale, None, Drawing(1, 0, range(4)))).isfinite()


def test_what_an_objective_trains_is_what_its_loss_reaches(case):
    kind, scale, settings, network = case
    pretrainings = [kind.pretraining(kind.encoder(settings.network.encoder.model_dump(), scale))]
    if isinstance(kind, LowLight):
        pretrainings.append(kind.pretraining(kind.encoder(settings.network.encoder.model_dump(), scale), 1.0))
    for objective, training in ((kind.objective(network), settings.training), *((one, None) for one in pretrainings)):
        trained = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
        objective.requires_grad_(True)  # what is frozen, too: none of it may be reached
        objective(*kind.batch(sides_of(kind), scale, training, Drawing(1, 0, range(4)))).backward()
        assert trained == {name for name, parameter in objective.named_parameters() if parameter.grad is not None}


def test_restoring_adds_the_error_of_what_each_level_restores():
    """Heads that say 0.25 everywhere: their error is the distance of the target, averaged to each level's size."""
    torch.manual_seed(0)
    kind, settings = KINDS["low_light"], SMOKE["lol"]
    encoder = kind.encoder(settings.network.encoder.model_dump(), 1)
    batch = kind.batch(sides_of(kind), 1, None, Drawing(1, 0, range(4)))
    plain = kind.pretraining(encoder)(*batch).item()
    objective = kind.pretraining(encoder, 0.6)
    for head in objective.heads:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, 0.25)
    target = batch[0].double().numpy()
    errors = [np.abs(target.reshape(4, 3, 32 // n, n, 32 // n, n).mean((3, 5)) - 0.25).mean() for n in (1, 2, 4)]
    assert objective(*batch).item() == pytest.approx(plain + 0.6 * np.mean(errors), rel=1e-5)


def test_super_resolution_says_that_it_restores_anyway():
    kind = KINDS["super_resolution"]
    encoder = kind.encoder(SMOKE["df2k_x4"].network.encoder.model_dump(), 4)
    with pytest.raises(ConfigError, match="leave it out"):
        kind.pretraining(encoder, 1.0)


def test_what_is_random_depends_on_the_sample_alone(case):
    kind, scale, settings, _ = case
    sides = sides_of(kind)
    whole = kind.batch(sides, scale, settings.training, Drawing(7, 3, range(12, 16)))
    second = kind.batch([side[1::2] for side in sides], scale, settings.training, Drawing(7, 3, range(13, 16, 2)))
    for one, other in zip(whole, second, strict=True):
        torch.testing.assert_close(one[1::2] if one.ndim else one, other)


def test_a_draw_is_the_same_in_any_batch(case):
    kind, scale, _, network = case
    seen = kind.pair([side[:1] for side in sides_of(kind)], scale)[1]
    four = list(draw_images(network, seen, 4, 0.8, 5, "p"))
    two = list(draw_images(network, seen, 2, 0.8, 5, "p"))
    for one, other in zip(two, four[:2], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert not torch.allclose(four[0], four[1])
    assert not torch.allclose(four[0], next(draw_images(network, seen, 1, 0.8, 5, "q")))


def test_any_size_can_be_restored(case):
    kind, scale, _, network = case
    picture = torch.randint(0, 256, (1, 3, 13, 17), dtype=torch.uint8)
    (image,) = draw_images(network, kind.from_picture(picture), 1, 0.8, 5, "p")
    assert image.shape == (3, 13 * scale, 17 * scale)


def test_stress_inputs_are_pictures(case):
    kind, scale, _, _ = case
    seen = kind.pair([side[:1] for side in sides_of(kind)], scale)[1]
    stress = stress_inputs(8, 1, [seen, seen], kind, torch.device("cpu"))
    assert {one.kind for one in stress} == set(STRESS)
    for one in stress:
        shown = kind.shown(one.seen)
        assert shown.min() >= -1e-6 and shown.max() <= 1 + 1e-5 and one.seen.isfinite().all()
    again = stress_inputs(8, 1, [seen, seen], kind, torch.device("cpu"))
    assert all(torch.equal(a.seen, b.seen) for a, b in zip(stress, again, strict=True))


def test_noise_of_the_low_resolution_is_the_noise_downscaled():
    kind = KINDS["super_resolution"]
    _, _, noise, lr_noise = kind.batch(sides_of(kind), 4, SMOKE["df2k_x4"].training, Drawing(1, 0, range(4)))
    torch.testing.assert_close(lr_noise, imresize(noise, 0.25))
    assert (noise.flatten(1).std(1) < 0.06).all()


def test_the_coin_falls_as_often_as_asked():
    kind, training = KINDS["low_light"], SMOKE["lol"].training
    sides = sides_of(kind, 1, 8)
    heads = [bool(kind.batch(sides, 1, training, Drawing(1, step, [step]))[3]) for step in range(400)]
    assert 0.14 < sum(heads) / 400 < 0.26  # 0.2, three standard deviations


def test_values_are_counted_before_they_are_clamped():
    image = torch.tensor([[-0.51, 0.0, 1.5], [1.51, float("nan"), float("inf")]]).expand(3, 2, 3)
    statistics = value_statistics(image)
    assert statistics["outside_values"] == 6 and statistics["nonfinite_values"] == 6
    assert statistics["minimum"] == pytest.approx(-0.51) and statistics["maximum"] == pytest.approx(1.51)
    pixels = to_uint8(image, "floor")[:, :, 0]
    assert pixels.tolist() == [[0, 0, 255], [255, 0, 255]]
    assert value_statistics(image * float("nan"))["minimum"] is None


def test_floor_and_round_differ_by_name():
    image = torch.full((3, 1, 1), 99.7 / 255)
    assert to_uint8(image, "floor")[0, 0, 0] == 99 and to_uint8(image, "round")[0, 0, 0] == 100


def test_padding_reflects_and_never_fails():
    assert pad_to_multiple(torch.rand(1, 3, 1, 5), 8).shape == (1, 3, 8, 8)
    image = torch.arange(6.0).reshape(1, 1, 1, 6).expand(1, 1, 6, 6)
    assert pad_to_multiple(image, 8)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 4, 3]


def test_spread_takes_both_ends():
    assert spread(list(range(10)), 4) == [0, 3, 6, 9] and spread([1, 2], 5) == [1, 2] and spread([1, 2, 3], 1) == [1]
