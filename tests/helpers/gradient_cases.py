"""Gradients of a bijection with respect to all that it depends on, and how much autograd holds for them."""

from __future__ import annotations

import contextlib
import weakref

import torch

from models.flow.memory_saving import save_memory


def mapped(structure, function):
    """Return the nested dictionaries with ``function`` of every tensor."""
    if isinstance(structure, dict):
        return {key: mapped(value, function) for key, value in structure.items()}
    return None if structure is None else function(structure)


def tensors_of(structure, name="features"):
    if isinstance(structure, dict):
        return {key: t for own, part in structure.items() for key, t in tensors_of(part, f"{name}.{own}").items()}
    return {} if structure is None else {name: structure}


def loss_of(outputs):
    """Return a number to which every entry of z and of log_det contributes, each in its own way."""
    z, log_det = outputs
    generator = torch.Generator().manual_seed(0)
    weight, other = (torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t) for t in (z, log_det))
    return (z * weight).sum() + 0.5 * z.square().sum() + (log_det * other).sum()


def gradients(network, x, features, mode, inverse=False):
    """Return the gradients of ``loss_of`` by name: x, every tensor of the features, every parameter."""
    save_memory(network, mode)
    network.zero_grad()
    x = x.clone().requires_grad_()
    features = mapped(features, lambda tensor: tensor.detach().clone().requires_grad_())
    loss_of((network.inverse if inverse else network)(x, network.share(features))).backward()
    seen = {"x": x, **tensors_of(features), **dict(network.named_parameters())}
    return {name: None if tensor.grad is None else tensor.grad.clone() for name, tensor in seen.items()}


def largest_difference(found, expected):
    """Return the largest norm of a difference relative to the expected norm, over all names."""
    assert {name for name, grad in found.items() if grad is None} == {n for n, g in expected.items() if g is None}
    pairs = [(found[name], grad) for name, grad in expected.items() if grad is not None and grad.any()]
    return max(float((one - other).norm() / other.norm()) for one, other in pairs)


class Held:
    """Bytes that autograd holds for backward passes, parameters left out; ``peak`` is the most at any time."""

    def __init__(self, network):
        self.parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
        self.now = self.peak = 0

    def add(self, count):
        self.now += count
        self.peak = max(self.peak, self.now)


class Box(list):
    """A list that can be referred to weakly."""


@contextlib.contextmanager
def holding(network):
    """Count in this block what is held; storage that is held twice counts once."""
    held, holders = Held(network), {}

    def pack(tensor):
        storage, box = tensor.untyped_storage(), Box([tensor])
        pointer, size = storage.data_ptr(), storage.nbytes()
        if pointer not in held.parameters:
            holders[pointer] = holders.get(pointer, 0) + 1
            if holders[pointer] == 1:
                held.add(size)
            weakref.finalize(box, drop, pointer, size)
        return box

    def drop(pointer, size):
        holders[pointer] -= 1
        if holders[pointer] == 0:
            held.add(-size)

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box[0]):
        yield held
