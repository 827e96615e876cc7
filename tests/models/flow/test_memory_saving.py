"""Gradients that save memory are the true ones, save memory, and say where they cannot."""

import copy
import warnings

import pytest
import torch
import torch.distributed as dist
from bijection_cases import BIJECTIONS, with_random_parameters
from gradient_cases import ALLOWED, chain, gradients, holding, largest_difference, loss_of, mapped
from torch.nn.parallel import DistributedDataParallel

from models.flow import memory_saving
from models.flow.bijection import Bijection, Chain
from models.flow.layers.actnorm import ActNorm, initializing
from models.flow.memory_saving import (
    MODES,
    Reversible,
    save_memory,
)
from models.flow.observing import observe_inverse
from models.flow.transforms import TRANSFORMS, Affine
from models.lab.classifier import InvertibleClassifier

KINDS = ["flow", "super-resolution", "low-light", "toy-plain", "toy-normalized"]
CASES = [f"{kind}-{name}" for kind in KINDS for name in ("affine-0", "certified_spline-0")]
# every flow that a training trains, with every transform, and the laboratory's
CASES += [f"{kind}-{name}-0" for kind in ("super-resolution", "low-light") for name in TRANSFORMS]
CASES += [name for name in BIJECTIONS if name.startswith(("glow-", "classifier-"))]
CASES = sorted({*CASES, "flow-capped", "flow-fixed", "split"})


def case(name, dtype=torch.float64):
    torch.manual_seed(1)
    network, features, x = BIJECTIONS[name]()
    with_random_parameters(network)
    return network.to(dtype), mapped(features, lambda tensor: tensor.to(dtype)), x.to(dtype)


@pytest.mark.parametrize("dtype", ALLOWED, ids=str)
@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("mode", ["checkpoint", "reversible"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_plain_backpropagation(name, mode, inverse, dtype):
    network, features, x = case(name, dtype)
    if inverse:
        with torch.no_grad():
            x = network(x, network.share(features))[0] * 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing falls back here
        found = gradients(network, x, features, mode, inverse)
    assert largest_difference(found, gradients(network, x, features, "plain", inverse)) <= ALLOWED[dtype]


@pytest.mark.parametrize("dtype", ALLOWED, ids=str)
def test_gradients_of_a_deep_chain_are_those_of_plain_backpropagation(dtype):
    network, features, x = chain(16)
    network, features, x = network.to(dtype), mapped(features, lambda tensor: tensor.to(dtype)), x.to(dtype)
    found = gradients(network, x, features, "reversible")
    assert largest_difference(found, gradients(network, x, features, "plain")) <= ALLOWED[dtype]


def no_gradient_through_log_det(outputs, targets, heads, true=memory_saving._gradients):
    return true(outputs, targets, (heads[0], torch.zeros_like(heads[1])))


def no_gradient_of_conditions(outputs, targets, heads, true=memory_saving._gradients):
    """Drop all that has four axes but the input: features and conditions, not weights of nets that are unused."""
    first, *others = true(outputs, targets, heads)
    wanted = [None if t.ndim == 4 and t.shape[0] == first.shape[0] else o for t, o in zip(targets[1:], others)]  # noqa: B905
    return [first, *wanted]


def no_gradient_of_the_last_parameter(outputs, targets, heads, true=memory_saving._gradients):
    return [*true(outputs, targets, heads)[:-1], None]


@pytest.mark.parametrize(
    "mutant", [no_gradient_through_log_det, no_gradient_of_conditions, no_gradient_of_the_last_parameter]
)
def test_the_comparison_sees_a_gradient_that_is_left_out(monkeypatch, mutant):
    network, features, x = chain(2)
    expected = gradients(network, x, features, "plain")
    assert largest_difference(gradients(network, x, features, "reversible"), expected) <= ALLOWED[x.dtype]
    monkeypatch.setattr(memory_saving, "_gradients", mutant)
    with pytest.raises(AssertionError):
        assert largest_difference(gradients(network, x, features, "reversible"), expected) <= ALLOWED[x.dtype]


@pytest.mark.parametrize(("mode", "bound"), [("plain", None), ("checkpoint", None), ("reversible", 1.2)])
def test_what_is_held_grows_with_depth_unless_it_is_recomputed(mode, bound):
    peaks = []
    for depth in (4, 16):  # 16 and 64 layers
        network, features, x = chain(depth)
        save_memory(network, mode)
        features["encoder"].requires_grad_()
        with holding(network) as held:
            loss_of(network(x, network.share(features))).backward()
        peaks.append(held.peak)
    assert peaks[1] > 3 * peaks[0] if bound is None else peaks[1] <= bound * peaks[0]


def test_checkpoints_hold_less_than_plain_and_recomputation_holds_less_still():
    peaks = {}
    for mode in MODES:
        network, features, x = chain(8)
        save_memory(network, mode)
        with holding(network) as held:
            loss_of(network(x, network.share(features))).backward()
        peaks[mode] = held.peak
    assert peaks["plain"] > 3 * peaks["checkpoint"] and peaks["checkpoint"] > 2 * peaks["reversible"]


@pytest.mark.parametrize("dtype", ALLOWED, ids=str)
def test_a_classifiers_gradients_reach_through_its_projection(dtype):
    torch.manual_seed(0)
    network = InvertibleClassifier(Affine(), size=8, levels=2, steps=2, hidden=4, channels=1)
    with_random_parameters(network)
    network, x = network.to(dtype).train(), torch.randn(4, 1, 8, 8).to(dtype)
    found = {}
    for mode in ("plain", "reversible"):
        save_memory(network, mode)
        network.zero_grad()
        torch.nn.functional.cross_entropy(network.classify(x).logits, torch.arange(4)).backward()
        found[mode] = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert largest_difference(found["reversible"], found["plain"]) <= ALLOWED[dtype]


class Noisy(Bijection):
    """A shift by a random multiple of a learned vector, and a random log_det."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(1, 4, 1, 1))

    def forward(self, x, condition=None):
        self.drawn = torch.randn(x.shape[0], 1, 1, 1)
        return x + self.drawn * self.weight, (self.drawn * self.weight**2).flatten(1).sum(1)

    def inverse(self, z, condition=None):
        return z - torch.randn(z.shape[0], 1, 1, 1) * self.weight, z.new_zeros(z.shape[0])


@pytest.mark.parametrize("mode", ["checkpoint", "reversible"])
def test_a_random_layer_draws_the_same_again_and_leaves_the_generator_alone(mode):
    torch.manual_seed(0)
    network, x = Chain([ActNorm(4), Noisy(), ActNorm(4), Noisy()]), torch.randn(2, 4, 4, 4)
    results = []
    for kind in ("plain", mode):
        torch.manual_seed(7)
        results.append((gradients(network, x, None, kind), torch.rand(3)))
    assert largest_difference(results[1][0], results[0][0]) <= ALLOWED[x.dtype]
    assert torch.equal(results[1][1], results[0][1])


def test_actnorm_starts_from_data_in_every_mode():
    starts = {}
    for mode in MODES:
        network, features, x = chain(3)
        for module in network.modules():
            if isinstance(module, ActNorm):
                module.initialized.fill_(False)
        save_memory(network, mode)
        with initializing(network):
            network(x, network.share(features))
        starts[mode] = torch.cat([m.log_scale.flatten() for m in network.modules() if isinstance(m, ActNorm)])
    assert torch.equal(starts["plain"], starts["checkpoint"]) and torch.equal(starts["plain"], starts["reversible"])


@pytest.mark.parametrize("mode", ["checkpoint", "reversible"])
def test_under_autocast_the_second_computation_is_in_the_precision_of_the_first(mode):
    network, features, x = chain(4)
    dtypes = []
    network.layers[3].net.mix.register_forward_hook(lambda module, args, out: dtypes.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network.zero_grad()
        save_memory(network, mode)
        loss = loss_of(network(x, network.share(features)))
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    assert set(dtypes) == {torch.bfloat16} and len(dtypes) >= 2
    network.zero_grad()
    save_memory(network, "plain")
    with torch.autocast("cpu", torch.bfloat16):
        loss_of(network(x, network.share(features))).backward()
    expected = {name: parameter.grad for name, parameter in network.named_parameters()}
    exact = gradients(network, x, features, "plain")
    rounding = largest_difference(expected, {name: exact[name] for name in expected})
    assert largest_difference(found, expected) < rounding


def test_hooks_on_parameters_see_each_gradient_once_and_whole():
    network, features, x = chain(2)
    expected = gradients(network, x, features, "plain")
    seen = {}
    for name, parameter in network.named_parameters():
        parameter.register_hook(lambda grad, name=name: seen.setdefault(name, []).append(grad.clone()))
    gradients(network, x, features, "reversible")
    assert all(len(grads) == 1 for grads in seen.values())
    assert largest_difference({name: grads[0] for name, grads in seen.items()}, {n: expected[n] for n in seen}) < 1e-4


class Likelihood(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, features):
        return loss_of(self.network(x, self.network.share(features)))


@pytest.mark.parametrize("mode", ["checkpoint", "reversible"])
def test_distributed_data_parallel_gets_every_gradient(tmp_path, mode):
    network, features, x = chain(2)
    expected = gradients(network, x, features, "plain")
    save_memory(network, mode)
    network.zero_grad()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(Likelihood(network))
        for _ in range(2):  # a second pass is refused unless each hook of the first one fired
            network.zero_grad()
            model(x, features).backward()
    finally:
        dist.destroy_process_group()
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert largest_difference(found, {name: expected[name] for name in found}) <= ALLOWED[x.dtype]


def test_frozen_parameters_get_none():
    network, features, x = chain(2)
    network.layers[1].weight.requires_grad_(False)
    found = gradients(network, x, features, "reversible")
    assert found["layers.1.weight"] is None
    assert largest_difference(found, gradients(network, x, features, "plain")) <= ALLOWED[x.dtype]


def test_a_condition_that_was_shared_before_gets_its_gradient():
    network, features, x = chain(3)
    found = {}
    for mode in ("plain", "reversible"):
        save_memory(network, "plain")
        shared = network.share(features)
        save_memory(network, mode)
        leaves = [None if own is None else own.detach().requires_grad_() for own in shared]
        loss_of(network(x, leaves)).backward()
        found[mode] = {str(place): own.grad for place, own in enumerate(leaves) if own is not None}
    assert largest_difference(found["reversible"], found["plain"]) <= ALLOWED[x.dtype]


def test_one_condition_serves_a_batch_of_pictures():
    network, features, x = chain(2)
    one = mapped(features, lambda tensor: tensor[:1])
    found, expected = (gradients(network, x, one, mode) for mode in ("reversible", "plain"))
    assert largest_difference(found, expected) <= ALLOWED[x.dtype]


def test_without_gradients_nothing_is_postponed_and_observers_see_every_layer():
    network, features, x = chain(2)
    save_memory(network, "reversible")
    postponed = network.share(features)
    with torch.no_grad():
        now = network.share(features)
        torch.testing.assert_close(network(x, now)[0], network(x, postponed)[0])
    assert isinstance(now[3], torch.Tensor)
    seen = []
    with observe_inverse(lambda layer, output: seen.append(layer)):
        network.inverse(x, postponed)
    assert len(seen) == len(network.layers)


def test_a_parameter_that_changes_before_the_backward_pass_is_an_error():
    network, features, x = chain(1)
    save_memory(network, "reversible")
    loss = loss_of(network(x, network.share(features)))
    with torch.no_grad():
        network.layers[0].bias.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_copy_of_a_network_saves_memory_on_its_own():
    network, _, _ = chain(1)
    save_memory(network, "reversible")
    other = copy.deepcopy(network)
    other.saver.stored.add((0, False))
    assert not network.saver.stored and isinstance(other.saver, Reversible)
    save_memory(network, "plain")
    assert network.saver is None


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="plain, checkpoint, reversible"):
        save_memory(chain(1)[0], "revesible")
