"""A condition that does not fit is refused where it is used, in words that name the layer."""

import pytest
import torch

from models.flow.bijection import Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.squeeze import Squeeze
from models.flow.multiscale import multiscale_flow
from models.flow.place import Place
from models.flow.transforms import Affine
from models.lab.toy import Mlp
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow

FEATURES, HIDDEN = 3, 6
ENCODER = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
LAYERS = {
    "coupling": lambda: Coupling(4, Affine(), FEATURES, HIDDEN),  # its condition: the hidden channels of its net
    "injector": lambda: Injector(3, Affine(), FEATURES, HIDDEN),  # its condition: two parameters per channel
}


@pytest.fixture(params=list(LAYERS))
def layer(request):
    layer = LAYERS[request.param]()
    layer.place = Place(2, 1, request.param)
    return layer


@pytest.fixture
def x(layer):
    return torch.randn(2, 4 if isinstance(layer, Coupling) else 3, 4, 4)


def both(layer):
    return layer, layer.inverse


@pytest.mark.parametrize("batch", [1, 2])
def test_a_condition_of_one_image_or_of_all_fits(layer, x, batch):
    condition = layer.share({"encoder": torch.randn(batch, FEATURES, 4, 4)})
    for apply in both(layer):
        assert apply(x, condition)[0].shape == x.shape


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_it_fits_under_autocast(layer, x, precision):
    with torch.autocast("cpu", precision):
        condition = layer.share({"encoder": torch.randn(1, FEATURES, 4, 4)})
        for apply in both(layer):
            assert apply(x, condition)[0].isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [(3, HIDDEN, 4, 4), (0, HIDDEN, 4, 4), (2, HIDDEN, 1, 4), (2, HIDDEN, 4, 1), (2, 1, 4, 4), (2, HIDDEN), (HIDDEN,)],
    ids=str,
)
def test_a_condition_of_another_shape_is_refused(layer, x, wrong):
    for apply in both(layer):
        with pytest.raises(ValueError) as refused:
            apply(x, torch.zeros(wrong))
        came = (
            f"level 2 step 1 {layer.place.role}: for an input of shape {tuple(x.shape)} the condition must have shape"
        )
        assert str(refused.value) == f"{came} (1 or 2, 6, 4, 4); got shape {wrong}"


@pytest.mark.parametrize(("wrong", "said"), [(None, "none"), ({"encoder": 1}, "a dict")])
def test_what_is_no_tensor_is_refused(layer, x, wrong, said):
    for apply in both(layer):
        with pytest.raises(ValueError, match=f"got {said}$"):
            apply(x, wrong)


def test_a_layer_without_a_place_is_called_by_its_class():
    with pytest.raises(ValueError, match=r"^Injector: .* \(1, 6, 4, 4\); got shape \(2, 6, 4, 4\)"):
        LAYERS["injector"]()(torch.zeros(1, 3, 4, 4), torch.zeros(2, 6, 4, 4))


def test_each_net_says_what_it_shares():
    layer = Coupling(2, Affine(), FEATURES, HIDDEN, net=Mlp)
    x, features = torch.randn(4, 2, 1, 1), torch.randn(4, FEATURES, 1, 1)
    assert layer(x, layer.share({"encoder": features}))[0].shape == x.shape
    with pytest.raises(ValueError, match=r"must have shape \(1 or 4, 6\); got shape \(3, 6\)"):
        layer(x, torch.zeros(3, HIDDEN))


@pytest.mark.parametrize(
    ("wrong", "said"), [([None], "1 of them"), ([None] * 3, "3 of them"), (torch.zeros(2, 1), r"shape \(2, 1\)")]
)
def test_a_chain_wants_one_condition_per_layer(wrong, said):
    chain = Chain([Squeeze(), ActNorm(4)])
    for apply, value in ((chain, torch.zeros(1, 1, 2, 2)), (chain.inverse, torch.zeros(1, 4, 1, 1))):
        with pytest.raises(ValueError, match=f"^Chain: needs a list of 2 conditions, .* got {said}$"):
            apply(value, wrong)


def test_in_a_flow_the_first_layer_that_it_reaches_is_named():
    flow = multiscale_flow(Affine(), 2, 1, 4, FEATURES)
    condition = flow.share({1: {"encoder": torch.randn(1, FEATURES, 4, 4)}, 2: {"encoder": torch.randn(1, 3, 2, 2)}})
    with pytest.raises(ValueError, match=r"^level 1 step 1 injector: "):
        flow(torch.randn(1, 3, 16, 16), condition)
    with pytest.raises(ValueError, match=r"^level 2 step 1 coupling: "):
        flow.inverse(torch.randn(1, 48, 4, 4), condition)


def test_whole_networks_refuse_the_condition_of_other_pictures():
    larger = SuperResolutionFlow(Affine(), 4, 2, 1, 4, [], "learned", ENCODER)
    with pytest.raises(ValueError, match=r"^SuperResolutionFlow: .* got shape \(1, 3, 16, 16\)"):
        larger(torch.rand(1, 3, 32, 32), larger.share(torch.rand(1, 3, 4, 4)))
    dark = LowLightFlow(Affine(), 1, 4, "learned", ENCODER)
    with pytest.raises(ValueError, match=r"^LowLightFlow: .* got shape \(1, 192, 1, 1\)"):
        dark.inverse(torch.rand(1, 192, 2, 1), dark.share(torch.rand(1, 6, 8, 8)))
