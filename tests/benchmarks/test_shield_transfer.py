"""Attacks by other ways are what they are called, and pass clamps without changing what these give back."""

import itertools

import pytest
import torch
from shield_transfer import COLUMNS, FAR, KEY, by_every_way, far, noise, straight_through
from small_flow import small_flow
from torch import nn

from models.flow.ranges import JointRange
from pipeline.stability.measure.ascent import Ascent, Box
from pipeline.stability.measure.draw_attack import attack_draws

SEEN = torch.full((2, 3, 4, 4), 0.5)
INPUTS = Box(torch.zeros_like(SEEN), torch.ones_like(SEEN))


def clamp():
    found = JointRange(3, 0.1)
    found.fit(torch.rand(3, 100, generator=torch.Generator().manual_seed(0)), 0.0)
    return found


def test_every_way_is_of_its_network_start_and_steps():
    trained, shielded = small_flow().network, small_flow().network
    shielded.clamp, calls, numbers = clamp(), [], itertools.count(1)

    def climb(network, start, times=1):
        calls.append((network is shielded, start is SEEN, times, len(shielded.clamp._forward_hooks)))
        shape = network.latent_shape(*SEEN.shape[2:])
        point = torch.cat([start.flatten(1), torch.zeros(2, *shape).flatten(1)], 1)
        number = float(next(numbers))
        return Ascent(point, point, torch.tensor([number, 0.0]), point, point)

    found = by_every_way(trained, shielded, climb, SEEN, INPUTS, 2)
    assert tuple(found) == COLUMNS[len(KEY) :]
    by_way = {way: calls[int(value.max()) - 1] for way, value in found.items() if way != "transferred"}
    assert by_way == {
        "as_trained": (False, True, 1, 0),
        "direct": (True, True, 1, 0),
        "straight_through": (True, True, 1, 1),
        "restarts": (True, False, 1, 0),
        "more_steps": (True, True, 5, 0),
    }


def test_what_is_transferred_is_the_point_that_was_found():
    flow = small_flow().network
    shape = flow.latent_shape(4, 4)
    z = torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(1))
    sources = [torch.Generator().manual_seed(number) for number in range(2)]
    free = Box(torch.full_like(z, -3.0), torch.full_like(z, 3.0))
    found = attack_draws(flow, FAR, SEEN, z, INPUTS, free, 3, sources)
    assert torch.allclose(far(flow, found.point, SEEN), found.after)


def test_noise_is_within_the_box_and_every_other_one_at_its_ends():
    box = Box(INPUTS.lower - 2.0, INPUTS.upper)
    for number in range(4):
        share = (noise(box, number) - box.lower) / (box.upper - box.lower)
        assert share.min() >= 0.0 and share.max() <= 1.0 and 0.3 < share.mean() < 0.7
        assert bool(((share == 0.0) | (share == 1.0)).all()) == (number % 2 == 1)
    assert not torch.equal(noise(box, 0), noise(box, 2))


@pytest.mark.parametrize("far_away", [1e2, 1e30])
def test_gradients_pass_clamps_that_give_back_the_same(far_away):
    one = clamp()
    x = torch.full((1, 3, 2, 2), far_away, requires_grad=True)
    clamped = one(x)
    with straight_through(nn.ModuleList([one])):
        passed = one(x)
        (gradient,) = torch.autograd.grad(passed.sum(), x)
    assert torch.equal(passed, clamped) and torch.equal(gradient, torch.ones_like(x))


def test_without_that_a_clamp_passes_next_to_none():
    x = torch.full((1, 3, 2, 2), 1e2, requires_grad=True)
    (gradient,) = torch.autograd.grad(clamp()(x).sum(), x)
    assert gradient.abs().max() < 1e-3
