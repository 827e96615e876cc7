"""Where a layer stands: what a place says, and which places the layers of a flow have."""

import dataclasses

import pytest

from models.flow.bijection import Bijection
from models.flow.multiscale import multiscale_flow
from models.flow.place import Place
from models.flow.transforms import Affine
from models.lab.toy import ToyFlow


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place(2, 3, "noise coupling"), "level 2 step 3 noise coupling"),
        (Place(1, 2, "actnorm", transition=True), "level 1 transition 2 actnorm"),
        (Place(1, 0, "squeeze"), "level 1 squeeze"),
        (Place(3, 0, "split"), "level 3 split"),
        (Place(0, 4, "1x1"), "step 4 1x1"),
    ],
)
def test_a_place_in_words(place, words):
    assert str(place) == words


def test_a_place_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Place(1, 1, "coupling").level = 2


def test_the_places_of_a_flow_in_its_order():
    flow = multiscale_flow(Affine(), 2, 1, 4, 2, splits={1}, noise_steps=[0, 1])
    places = [str(layer.place) for layer in flow.modules() if isinstance(layer, Bijection) and layer.place]
    transitions = ["transition 1 actnorm", "transition 1 1x1", "transition 2 actnorm", "transition 2 1x1"]
    first = ["squeeze", *transitions, "step 1 actnorm", "step 1 1x1", "step 1 injector", "step 1 coupling"]
    second = [*first[:-1], "step 1 noise coupling", "step 1 coupling"]
    assert places == [*(f"level 1 {p}" for p in first), "level 1 split", *(f"level 2 {p}" for p in second)]


def test_a_flow_without_levels_has_steps_alone():
    layers = [layer for layer in ToyFlow(Affine(), depth=2, width=4).modules() if isinstance(layer, Bijection)]
    roles = ("actnorm", "1x1", "coupling")
    assert [layer.place for layer in layers if layer.place] == [
        Place(0, step, role) for step in (1, 2) for role in roles
    ]
