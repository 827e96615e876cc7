"""ReLU behind an ActNorm as one step is the two of them: values to the bit, gradients to rounding, for all who ask."""

import math

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, vmap
from torch.nn import functional as F

from models.flow.layers.actnorm import ActNorm, initializing
from models.flow.layers.normalized_relu import normalized_relu

SHAPE = (2, 3, 4, 5)


def norm_of(cap=math.inf, dtype=torch.float64):
    norm = ActNorm(SHAPE[1], cap).to(dtype)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([0.3, -0.2, 0.0]).view_as(norm.bias))
        norm.log_scale.copy_(torch.tensor([1.0, -3.0, 0.2]).view_as(norm.log_scale))
    return norm


def pictures(dtype=torch.float64):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    x[0, 2, 0, 0] = 0.0  # a map of bias 0: on the corner
    return x.requires_grad_()


def plainly(x, norm):
    return F.relu(norm(x)[0])


DTYPES = [torch.float32, torch.float64, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cap", [math.inf, 2.0])
def test_it_is_the_plain_form(dtype, cap):
    norm, x = norm_of(cap, torch.float64 if dtype == torch.float64 else torch.float32), pictures(dtype)
    found, wanted = normalized_relu(x, norm), plainly(x, norm)
    assert "NormalizedReLU" in str(found.grad_fn) and found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=0.0)
    weights = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)).to(found.dtype)
    inputs = (x, norm.bias, norm.log_scale)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    gradients = [torch.autograd.grad(output, inputs, weights) for output in (found, wanted)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [1, 2])
def test_of_two_maps_it_is_that_of_their_sum(dtype, batch):
    norm, x = norm_of(dtype=torch.float64 if dtype == torch.float64 else torch.float32), pictures(dtype)
    beside = (0.5 * x.detach().flip(3))[:batch].clone().requires_grad_()
    before = x.detach().clone(), beside.detach().clone()
    found, wanted = normalized_relu(x, norm, beside), plainly(x + beside, norm)
    assert "NormalizedReLU" in str(found.grad_fn)
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=0.0)
    assert all(torch.equal(part, was) for part, was in zip((x, beside), before, strict=True))
    weights = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)).to(found.dtype)
    inputs = (x, beside, norm.bias, norm.log_scale)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    gradients = [torch.autograd.grad(output, inputs, weights) for output in (found, wanted)]
    for one, other in zip(*gradients, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_a_map_that_wants_no_gradient_leaves_the_others_as_it_is():
    norm, x = norm_of(), pictures()
    found = normalized_relu(x.detach(), norm, x[:1])
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), x)[0][:1],
        torch.autograd.grad(plainly(x.detach() + x[:1], norm).sum(), x)[0][:1],
    )


def test_of_narrower_maps_it_has_the_type_of_the_norm():
    norm, x = norm_of(), pictures(torch.float32)
    found, wanted = normalized_relu(x, norm, x), plainly(x + x, norm)
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=0.0)


def test_what_is_lost_stays_lost():
    norm, x = norm_of(), pictures().detach()
    x[1, 1, 2, 3] = math.nan
    found = normalized_relu(x, norm)
    assert found.isnan().sum() == 1
    torch.testing.assert_close(found, plainly(x, norm), rtol=0.0, atol=0.0, equal_nan=True)


def test_derivatives_are_those_of_finite_differences():
    norm = norm_of()
    x = pictures().detach()
    x[0, 2, 0, 0] = 0.5  # finite differences know no corner
    x.requires_grad_()

    def function(x, bias, log_scale):
        return torch.func.functional_call(_Step(norm), {"norm.bias": bias, "norm.log_scale": log_scale}, (x,))

    inputs = (x, norm.bias, norm.log_scale)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


class _Step(torch.nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return normalized_relu(x, self.norm)


@pytest.mark.parametrize("beside", [None, torch.ones(SHAPE)])
def test_it_keeps_one_map(beside):
    norm, kept = norm_of(dtype=torch.float32), []
    x = pictures(torch.float32)

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        normalized_relu(x, norm, beside)
    assert sum(kept) < x.numel() + 20


def test_who_looks_into_it_sees_the_plain_form():
    norm, x = norm_of(), pictures().detach()
    each = vmap(grad(lambda x: normalized_relu(x, norm).sum()))(x[:, None]).squeeze(1)
    again = x.clone().requires_grad_()
    torch.testing.assert_close(each, torch.autograd.grad(plainly(again, norm).sum(), again)[0])
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(normalized_relu(forward_ad.make_dual(x, torch.ones_like(x)), norm)).tangent
    torch.testing.assert_close(tangent, (plainly(x, norm) > 0) * norm.log_scale.exp())


def test_batched_gradients_are_those_taken_one_by_one():
    norm, x = norm_of(), pictures()
    y = normalized_relu(x, norm)
    several = torch.randn(4, *SHAPE, dtype=torch.float64)
    inputs = (x, norm.bias, norm.log_scale)
    found = torch.autograd.grad(y, inputs, several, is_grads_batched=True, retain_graph=True)
    for number, own in enumerate(several):
        for one, other in zip(found, torch.autograd.grad(y, inputs, own, retain_graph=True), strict=True):
            torch.testing.assert_close(one[number], other)


def test_a_fresh_norm_starts_from_what_it_sees():
    norm, x = ActNorm(SHAPE[1]), torch.randn(SHAPE)
    with initializing(norm):
        found = normalized_relu(x, norm)
    assert norm.initialized
    torch.testing.assert_close(found, plainly(x, norm), rtol=0.0, atol=0.0)
