"""Taking a part of a shield away leaves the others, and what the part clamped passes."""

import re

import pytest
import torch
from shield_parts import NOTHING, PARTS, PICTURE, RANGES, ROOM, parts_of, take_away

from models.flow.transforms import Affine
from models.restoration.low_light import LowLightFlow
from models.restoration.shielding import add_shield, fit_shield, ranges_of
from models.restoration.super_resolution import SuperResolutionFlow
from models.restoration.tails import Tails

TINY = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}


def flow(name, shielded=True):
    torch.manual_seed(0)
    if name == "low_light":
        network = LowLightFlow(Affine(), 1, 4, "learned", TINY)
    else:
        network = SuperResolutionFlow(Affine(), 4, 3, 1, 4, [], "learned", TINY)
    with torch.no_grad():
        for one, parameter in network.named_parameters():
            if ".net." in one or "prior" in one:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    if shielded:
        add_shield(network, margin=0.05)
        for one in ranges_of(network).values():
            one.fit(0.01 * torch.randn(one.entries, 300), 0.0)
        network.tails = Tails(0.1, 0.1)
        if name == "super_resolution":
            network.overshoot = 0.0
    return network


def drawn(network, name):
    seen = torch.rand(1, 6 if name == "low_light" else 3, 8, 8, generator=torch.Generator().manual_seed(1))
    z = torch.randn(1, *network.latent_shape(8, 8), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return network.inverse(3 * z, network.share(seen))[0]


@pytest.mark.parametrize("name", ["super_resolution", "low_light"])
def test_every_part_does_something_and_without_all_of_them_the_flow_is_as_trained(name):
    trained, whole = flow(name, shielded=False), drawn(flow(name), name)
    stripped = flow(name)
    for part in parts_of(name, {}):
        one = flow(name)
        take_away(part, one, trained)
        assert torch.equal(drawn(one, name), whole) == (part == NOTHING), part
        take_away(part, stripped, trained)
    torch.testing.assert_close(drawn(stripped, name), drawn(trained, name))


def test_without_room_the_boxes_of_parameters_alone_end_where_what_was_seen_ends():
    shielded = flow("low_light")
    pixels = {name: torch.randn(one.entries, 50) for name, one in ranges_of(shielded).items()}
    fit_shield(shielded, pixels, 0.0)
    wide = {name: one.low.clone() for name, one in ranges_of(shielded).items()}
    take_away(ROOM, shielded, shielded)
    for name, one in ranges_of(shielded).items():
        torch.testing.assert_close(one.low, pixels[name].min(1).values)
        torch.testing.assert_close(one.high, pixels[name].max(1).values)
        assert torch.equal(one.low, wide[name]) == (re.search(RANGES["parameters"], name) is None)


def test_a_part_that_a_shield_does_not_have_is_not_taken_away():
    assert set(PARTS) - set(parts_of("super_resolution", {"prior_mean": 1.0})) == {"input", ROOM}
    assert set(PARTS) - set(parts_of("super_resolution", {"overshoot": 0.0})) == {"input", ROOM, PICTURE}
    assert set(PARTS) - set(parts_of("low_light", {})) == {PICTURE}
