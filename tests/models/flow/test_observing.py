"""Observers see what comes out of every layer, in both directions; none loses another, none sees other threads."""

import threading

import pytest
import torch

from models.flow.bijection import Bijection, Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.multiscale import multiscale_flow
from models.flow.observing import observe_forward, observe_inverse
from models.flow.transforms import Affine

FEATURES, SIZE = 2, 8


@pytest.fixture
def flow():
    return multiscale_flow(Affine(), 3, 2, 4, FEATURES, splits={1}, noise_steps=[0, 1, 2])


@pytest.fixture
def condition(flow):
    sizes = {level: SIZE // 2**level for level in (1, 2, 3)}
    return flow.share(
        {
            level: {"encoder": torch.randn(1, FEATURES, size, size), "noise": torch.randn(1, 3, size, size)}
            for level, size in sizes.items()
        }
    )


@pytest.fixture
def chain():
    return Chain([Squeeze(), ActNorm(4)])


class Seen(list):
    """An observer that remembers layers and outputs."""

    def __call__(self, layer, output):
        self.append((layer, output))

    @property
    def layers(self):
        return [layer for layer, _ in self]

    @property
    def places(self):
        return [layer.place for layer in self.layers if layer.place]


def places_of(flow):
    """Return the places in the order of the modules: a split stands before the layers inside of it."""
    return [layer.place for layer in flow.modules() if isinstance(layer, Bijection) and layer.place]


def test_the_inverse_is_seen_from_the_last_layer_to_the_first(flow, condition):
    seen = Seen()
    with observe_inverse(seen):
        x, _ = flow.inverse(torch.randn(1, 3 * 4**3, 1, 1), condition)
    assert seen.places == places_of(flow)[::-1]
    assert torch.equal(seen[-1][1], x)


def test_the_forward_pass_is_seen_in_order_and_a_split_after_the_layers_inside_of_it(flow, condition):
    seen = Seen()
    with observe_forward(seen):
        z, _ = flow(torch.randn(1, 3, SIZE, SIZE), condition)
    inside = [place for place in places_of(flow) if place.role != "split"]
    (split,) = set(places_of(flow)) - set(inside)
    assert seen.places == [*inside, split]
    assert torch.equal(seen[-1][1], z)


def test_what_is_seen_is_what_the_layer_returned():
    squeeze, norm = Squeeze(), ActNorm(8)
    split = Split(4, Chain([squeeze, norm]), factor=2)
    chain, seen, x = Chain([split]), Seen(), torch.randn(2, 4, 4, 4)
    with torch.no_grad():
        norm.bias.add_(1.0)
    with observe_forward(seen):
        z, _ = chain(x)
    assert seen.layers == [squeeze, norm, split]
    inner = squeeze(x[:, :2])[0]
    for (_, found), expected in zip(seen, (inner, norm(inner)[0], z), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("own", [observe_forward, observe_inverse])
def test_an_observer_sees_its_own_direction_alone(chain, own):
    seen = Seen()
    with own(seen):
        chain(torch.randn(1, 1, 4, 4))
        between = len(seen)
        chain.inverse(torch.randn(1, 4, 2, 2))
    assert (between, len(seen)) == ((2, 2) if own is observe_forward else (0, 2))


def test_nested_observers_all_see_every_layer(chain):
    outer, inner = Seen(), Seen()
    with observe_inverse(outer):
        with observe_inverse(inner):
            chain.inverse(torch.randn(1, 4, 2, 2))
        chain.inverse(torch.randn(1, 4, 2, 2))
    assert (len(outer), len(inner)) == (4, 2)


def test_after_the_block_nothing_is_seen_not_even_if_it_ended_in_an_error(chain):
    seen = Seen()
    with pytest.raises(RuntimeError, match="stop"), observe_forward(seen):
        raise RuntimeError("stop")
    chain(torch.randn(1, 1, 4, 4))
    assert not seen


def test_another_thread_is_not_seen(chain):
    seen = Seen()
    with observe_forward(seen):
        thread = threading.Thread(target=chain, args=(torch.randn(1, 1, 4, 4),))
        thread.start()
        thread.join()
    assert not seen
