"""Of concatenations that are kept in parts, gradients are the same to rounding, and the memory is not."""

import gc
import weakref

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from models.restoration.encoders.concatenation import kept_in_parts
from models.restoration.encoders.rrdb import DenseBlock


@pytest.fixture
def block():
    torch.manual_seed(0)
    return DenseBlock(4, 2).double()


def plainly(block, x):
    seen = x
    for conv in list(block.convs)[:-1]:
        seen = torch.cat([seen, F.leaky_relu(conv(seen), 0.2)], 1)
    return x + 0.2 * block.convs[-1](seen)


def test_a_dense_block_is_the_plain_one(block):
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    inputs = (x, *block.parameters())
    found, wanted = block(x), plainly(block, x)
    assert torch.equal(found, wanted)
    weights = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad(found, inputs, weights), torch.autograd.grad(wanted, inputs, weights), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


def test_derivatives_are_those_of_finite_differences(block):
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(block, x)
    assert gradgradcheck(block, x)


def test_checkpointed_and_functional_gradients_are_the_same(block):
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(plainly(block, x).sum(), x)
    (found,) = torch.autograd.grad(checkpoint(block, x, use_reentrant=False).sum(), x)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(grad(lambda x: block(x).sum())(x.detach()), wanted)


def kept_by(function, block, x):
    """Return how many bytes ``function(block, x)`` keeps for its gradient, beyond what there was."""
    alive = {}

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                storage = result.untyped_storage()
                alive[storage._cdata] = torch.multiprocessing.reductions.StorageWeakRef(storage), storage.nbytes()
            return result

    with Watch():
        y = function(block, x)
    own = {one.untyped_storage()._cdata for one in (x, y, *block.parameters())}
    return sum(size for key, (reference, size) in alive.items() if key not in own and not reference.expired())


def test_what_is_kept_are_the_parts(block):
    x = torch.randn(1, 4, 16, 16, dtype=torch.float64, requires_grad=True)
    one = x.numel() * x.element_size() // 4  # a channel
    assert kept_by(plainly, block, x) >= (4 * 2 + 6 + 8 + 10 + 12) * one
    assert kept_by(DenseBlock.forward, block, x) <= 4 * 2 * one


def test_without_gradients_nothing_is_remembered():
    with torch.no_grad(), kept_in_parts() as cat:
        whole = cat(torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2, 2))
        assert whole.sum() == 4.0
        gone = weakref.ref(whole)
        del whole
        assert gone() is None


def of_one_weight(block, x):
    torch.autograd.grad(block(x).sum(), block.convs[-1].weight)


def twice(block, x):
    y = block(x).sum()
    for _ in range(2):
        torch.autograd.grad(y, x, retain_graph=True)


@pytest.mark.parametrize("use", [lambda block, x: block(x), twice, of_one_weight], ids=["dropped", "kept", "in part"])
def test_what_was_kept_goes_with_the_graph(block, use):
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64, requires_grad=True) * 1.0
    gone = weakref.ref(x)
    use(block, x)
    del x
    gc.collect()
    assert gone() is None
