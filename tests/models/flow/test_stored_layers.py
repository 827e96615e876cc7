"""Layers whose inverse fails: their inputs are stored, it is said, and gradients stay true."""

import warnings

import pytest
import torch
from gradient_cases import ALLOWED, chain, collapsing, gradients, largest_difference, loss_of, mapped

from models.flow.bijection import Bijection, Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.memory_saving import Trusting, backpropagating, load_stored_layers, save_memory, stored_layers


def test_a_layer_whose_inverse_fails_falls_back_and_says_so_once():
    network, features, x = collapsing()
    expected = gradients(network, x, features, "plain")
    save_memory(network, "reversible")
    with pytest.warns(UserWarning, match=r"step 3 coupling does not give its input back .*checkpoint") as said:
        loss_of(network(x, network.share(features))).backward()
    assert len(said) == 1
    assert network.saver.stored == {(11, False)}
    network.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = mapped(features, lambda tensor: tensor.clone().requires_grad_())
        leaf = x.clone().requires_grad_()
        loss_of(network(leaf, network.share(seen))).backward()
    found = {"x": leaf.grad, "features.encoder": seen["encoder"].grad}
    found |= {name: parameter.grad for name, parameter in network.named_parameters()}
    assert largest_difference(found, expected) <= ALLOWED[x.dtype]


def test_gradients_are_true_also_in_the_pass_in_which_a_layer_falls_back():
    network, features, x = collapsing()
    with pytest.warns(UserWarning, match="step 3 coupling"):
        found = gradients(network, x, features, "reversible")
    assert largest_difference(found, gradients(network, x, features, "plain")) <= ALLOWED[x.dtype]


def test_layers_that_fell_back_are_told_to_another_network_which_then_says_nothing():
    network, features, x = collapsing()
    with pytest.warns(UserWarning, match="step 3 coupling"):
        expected = gradients(network, x, features, "reversible")
    told = stored_layers(network)
    assert told == {"": [(11, False)]}
    other, features, x = collapsing()
    save_memory(other, "reversible")
    load_stored_layers(other, told)
    leaf = x.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss_of(other(leaf, other.share(features))).backward()
    assert torch.equal(leaf.grad, expected["x"])


def test_who_trusts_the_inverse_gets_other_gradients_where_it_fails_and_no_warning():
    network, features, x = collapsing()
    leaf = x.clone().requires_grad_()
    with warnings.catch_warnings(), backpropagating(network, Trusting):
        warnings.simplefilter("error")
        loss_of(network(leaf, network.share(features))).backward()
    assert network.saver is None
    expected = gradients(network, x, features, "plain")["x"]
    assert (leaf.grad - expected).norm() > 10 * ALLOWED[x.dtype] * expected.norm()


def test_one_spoilt_pixel_is_seen():
    network, features, x = chain(2)

    class Spoilt(ActNorm):
        def inverse(self, z, condition=None):
            x, log_det = super().inverse(z, condition)
            x[1, 2, 3, 4] += 0.01
            return x, log_det

    network.layers[4] = Spoilt(4)
    with pytest.warns(UserWarning, match="layer 4"):
        found = gradients(network, x, features, "reversible")
    assert largest_difference(found, gradients(network, x, features, "plain")) <= ALLOWED[x.dtype]


def test_a_layer_without_an_inverse_falls_back():
    class Cube(Bijection):
        def forward(self, x, condition=None):
            return x**3 + x, (3 * x**2 + 1).log().flatten(1).sum(1)

        def inverse(self, z, condition=None):
            raise NotImplementedError

    network = Chain([ActNorm(4), Cube(), ActNorm(4)])
    x = torch.randn(2, 4, 4, 4)
    with pytest.warns(UserWarning, match="Cube"):
        found = gradients(network, x, None, "reversible")
    assert largest_difference(found, gradients(network, x, None, "plain")) <= ALLOWED[x.dtype]
