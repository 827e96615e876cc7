"""The splines in pieces are the plain ones: values to the bit, gradients to rounding, in whatever asks for them."""

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import jvp, vmap
from torch.utils.checkpoint import checkpoint

from models.flow.transforms import CertifiedSpline, RationalQuadraticSpline, in_pieces

SPLINES = [*RationalQuadraticSpline.examples(), *CertifiedSpline.examples()]
SHAPE = (3, 4, 5, 7)


@pytest.fixture(params=SPLINES, ids=lambda spline: f"{type(spline).__name__}-{spline.bound}")
def spline(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["forward", "inverse"])
def inverse(request):
    return request.param


def case(spline, dtype=torch.float64, shape=SHAPE, batch=None):
    """Return inputs inside, outside and on the borders of the box, and raw parameters, some of them extreme."""
    generator = torch.Generator().manual_seed(0)
    x = spline.bound * torch.randn(shape, generator=generator, dtype=torch.float64)
    h = torch.randn(batch or shape[0], 4 * shape[1], *shape[2:], generator=generator, dtype=torch.float64)
    x[0, 0, 0, :4] = spline.bound * torch.tensor([-1.0, 1.0, 0.1, 1.001], dtype=torch.float64)
    h[:, :4, 0] = 0.0
    h[:, 4:8, 1] *= 4.0
    h[:, 8:12, 2, 0] = torch.tensor([-30.0, 30.0, -25.0, 3.0], dtype=torch.float64)
    return x.to(dtype).requires_grad_(), h.to(dtype).requires_grad_()


def function(spline, inverse):
    return spline.inverse if inverse else spline.forward


def gradients(outputs, inputs):
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype) for y in outputs]
    return torch.autograd.grad(outputs, inputs, weights)


def both(spline, inverse, x, h):
    """Return values and gradients in pieces, and those of the plain form."""
    pieces, plain = function(spline, inverse)(x, h), spline.plainly(x, h, inverse)
    assert "InPieces" in str(pieces[0].grad_fn) and "InPieces" not in str(plain[0].grad_fn)
    return (*pieces, *gradients(pieces, (x, h))), (*plain, *gradients(plain, (x, h)))


@pytest.mark.parametrize("piece", [1, 16, 10**6])
def test_float64_agrees_with_the_plain_form(monkeypatch, spline, inverse, piece):
    monkeypatch.setattr(in_pieces, "_PIECE", piece)
    pieces, plain = both(spline, inverse, *case(spline))
    for found, wanted in zip(pieces, plain, strict=True):
        scale = wanted.abs().max().clamp(min=1.0)
        torch.testing.assert_close(found / scale, wanted / scale, atol=1e-10, rtol=1e-10)


def test_float32_is_as_near_to_float64_as_the_plain_form(spline, inverse):
    shape = (4, 6, 32, 32)
    x, h = case(spline, torch.float32, shape)
    h = h.detach().clamp(-4, 4).requires_grad_()  # beyond, rounding of what is inverted hides all else
    pieces, plain = both(spline, inverse, x, h)
    inside = [t.detach().double().requires_grad_() for t in (x, h)]
    exact = spline.plainly(*inside, inverse)
    for found, usual, truth in zip(pieces, plain, (*exact, *gradients(exact, inside)), strict=True):
        error, usual_error = ((other.double() - truth).norm() / truth.norm() for other in (found, usual))
        assert error <= 2.0 * usual_error + 1e-7, (error, usual_error)


def test_derivatives_are_those_of_finite_differences(spline, inverse):
    x, h = case(spline, shape=(1, 3, 3, 4))
    x, h = (0.3 * x).detach().requires_grad_(), (0.5 * h).detach().clamp(-1.5, 1.5).requires_grad_()
    assert gradcheck(function(spline, inverse), (x, h))
    assert gradgradcheck(function(spline, inverse), (x, h))


@pytest.mark.parametrize("beside", [0.0, -1e-17, 1e-17])
def test_at_the_knot_the_slope_is_that_of_the_knot(spline, inverse, beside):
    """There rounding may put a value beyond the end of its bin, and the plain inverse then passes no gradient."""
    x = torch.full((1, 1, 1, 1), beside, dtype=torch.float64, requires_grad=True)
    h = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64).view(1, 4, 1, 1)
    y, log_derivative = function(spline, inverse)(x, h)
    (slope,) = torch.autograd.grad(y, x)
    assert float(slope) == pytest.approx(float(log_derivative.exp()), rel=1e-12)


def test_one_set_of_parameters_serves_a_batch(spline, inverse):
    pieces, plain = both(spline, inverse, *case(spline, batch=1))
    for found, wanted in zip(pieces, plain, strict=True):
        torch.testing.assert_close(found / wanted.abs().max(), wanted / wanted.abs().max(), atol=1e-10, rtol=0)


def test_a_gradient_of_one_output_or_to_one_input_alone(spline, inverse):
    x, h = case(spline)
    for output in (0, 1):
        for inputs in ((x, h.detach()), (x.detach(), h)):
            wanted_of = [tensor for tensor in inputs if tensor.requires_grad]
            found = torch.autograd.grad(function(spline, inverse)(*inputs)[output].sum(), wanted_of)
            wanted = torch.autograd.grad(spline.plainly(*inputs, inverse)[output].sum(), wanted_of)
            scale = wanted[0].abs().max()
            torch.testing.assert_close(found[0] / scale, wanted[0] / scale, atol=1e-10, rtol=0)


def test_strided_inputs(spline, inverse):
    x, h = case(spline)
    wide = torch.cat([x, x], 1)[:, 4:].detach().requires_grad_()
    last = h.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    for found, wanted in zip(both(spline, inverse, wide, last)[0], both(spline, inverse, x, h)[1], strict=True):
        scale = wanted.abs().max().clamp(min=1.0)
        torch.testing.assert_close(found / scale, wanted / scale, atol=1e-10, rtol=0)


def test_under_autocast_and_in_half_precision_it_is_float32(spline, inverse):
    x, h = case(spline, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = function(spline, inverse)(x, h)
    wanted = spline.plainly(x.float(), h.float(), inverse)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)
    for gradient in gradients(found, (x, h)):
        assert gradient.dtype == torch.bfloat16 and gradient.isfinite().all()


def test_checkpointed_gradients_are_the_same(spline, inverse):
    x, h = case(spline)
    again = checkpoint(function(spline, inverse), x, h, use_reentrant=False)
    for found, wanted in zip(gradients(again, (x, h)), gradients(function(spline, inverse)(x, h), (x, h)), strict=True):
        assert torch.equal(found, wanted)


def test_function_transforms_see_the_plain_form(spline, inverse):
    x, h = (tensor.detach() for tensor in case(spline))
    apply = function(spline, inverse)
    torch.testing.assert_close(vmap(apply)(x[:, None], h[:, None])[0].squeeze(1), apply(x, h)[0])
    tangents = torch.ones_like(x), torch.ones_like(h)
    _, (forwards, _) = jvp(apply, (x, h), tangents)
    with forward_ad.dual_level():
        dual = apply(*(forward_ad.make_dual(*pair) for pair in zip((x, h), tangents, strict=True)))[0]
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, forwards)


def test_batched_gradients_are_those_taken_one_by_one(spline, inverse):
    x, h = case(spline)
    y, _ = function(spline, inverse)(x, h)
    rows = torch.stack([torch.ones_like(y), y.detach()])
    together = torch.autograd.grad(y, h, rows, is_grads_batched=True, retain_graph=True)[0]
    for row, found in zip(rows, together, strict=True):
        wanted = torch.autograd.grad(y, h, row, retain_graph=True)[0]
        torch.testing.assert_close(found / wanted.abs().max(), wanted / wanted.abs().max(), atol=1e-10, rtol=0)


def test_it_keeps_its_inputs_and_nothing_else(spline):
    kept = []

    def pack(tensor):
        kept.append(tensor)
        return tensor

    x, h = case(spline)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = spline.forward(x, h)
    assert {tensor.data_ptr() for tensor in kept} <= {x.data_ptr(), h.data_ptr()} and outputs[0].requires_grad
