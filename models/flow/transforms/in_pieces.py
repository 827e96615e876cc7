"""A two-bin spline piece by piece, with its derivative written out: it keeps its inputs and nothing else.

Written as tensor operations (``TwoBinSpline.plainly``) a spline is some forty passes over memory forwards and more than
twice as many backwards, and autograd keeps what the forward ones made. Here every pass goes over a piece that fits into
a processor's cache, and the backward pass computes anew what ``two_bins.pull`` needs. Values are those of the plain
form; gradients differ from its by rounding.

The plain form is what autograd sees where derivatives are wanted of the gradients (``create_graph``), and where others
look into the computation (``models/flow/written_out.py``).

Where the slope of a knot is beyond 1e8, gradients of the plain inverse lose digits in its square root's derivative: at
w = -30, h = 30, v = 25 they are off by 2e-3 in float64, and these by 1e-9 (against 60 digits).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from models.flow import written_out

# Values per thread that are worked on at once: a dozen such tensors of float32 fit into a second-level cache of 2 MiB,
# and starting an operation costs less than doing it. Below 32,768 torch would leave threads idle. Six channels of
# 80 x 80, a coupling's half on the first level of a 160 x 160 picture, are one piece.
_PIECE = 40_960


class InPieces(torch.autograd.Function):
    """``spline.plainly(x, h, inverse)`` of a ``TwoBinSpline``, shapes as there."""

    @staticmethod
    def forward(ctx: Any, spline: Any, inverse: bool, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and the log-derivative."""
        ctx.spline, ctx.inverse = spline, inverse
        ctx.save_for_backward(x, h)
        function = spline._inverse if inverse else spline._forward
        if _is_one_piece(x):
            return function(x, *spline._raw(h))
        y, log_derivative = torch.empty_like(x), torch.empty_like(x)
        with torch.inference_mode():  # operations start a tenth sooner
            for own, to_y, to_log, *raw in _pieces(x, y, log_derivative, *spline._raw(h)):
                for to, values in zip((to_y, to_log), function(own, *raw), strict=True):
                    to.copy_(values)
        return y, log_derivative

    @staticmethod
    def backward(ctx: Any, by_y: Tensor, by_log: Tensor) -> Any:
        """Return the gradients of x and h."""
        x, h = ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:]
        again = torch.is_grad_enabled()  # create_graph: the gradients themselves are to have derivatives
        if again or not written_out.fits(by_y, by_log):
            inputs = [tensor for tensor, needed in zip((x, h), wanted, strict=True) if needed]
            with torch.enable_grad():
                outputs = ctx.spline.plainly(x, h, ctx.inverse)
            found = iter(torch.autograd.grad(outputs, inputs, (by_y, by_log), create_graph=again))
            return None, None, *(next(found) if needed else None for needed in wanted)
        of_x, of_h = torch.empty_like(x), torch.empty_like(h, memory_format=torch.contiguous_format)
        tensors = (x, by_y, by_log, of_x, *ctx.spline._raw(h), *ctx.spline._raw(of_h))
        with torch.inference_mode():
            for own, own_y, own_log, to_x, *both in _pieces(*tensors):
                count = len(both) // 2
                found = ctx.spline._pull(own, both[:count], own_y, own_log, ctx.inverse)
                for to, values in zip((to_x, *both[count:]), found, strict=True):
                    to.copy_(values)
        return None, None, of_x, of_h


def _most() -> int:
    return _PIECE * torch.get_num_threads()


def _is_one_piece(tensor: Tensor) -> bool:
    return tensor.device.type != "cpu" or tensor.numel() <= _most()


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same parts of all of them, which have one shape, as views."""
    each = tensors[0][0].numel()
    if _is_one_piece(tensors[0]):
        yield tensors
    elif each > _most():
        for parts in zip(*(tensor.unbind(0) for tensor in tensors), strict=True):
            yield from _pieces(*parts)
    else:
        yield from zip(*(tensor.split(_most() // each) for tensor in tensors), strict=True)
