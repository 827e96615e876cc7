"""The Jacobian of a map at a point, in float64: whole, or as products with vectors.

A map is a bijection (either direction, under a condition) or a function of tensors; the point is one input, batch 1.
Both kinds of product come from one evaluation. With y = f(x), reverse mode gives p(u) = J^T u; p is linear in u, so
reverse mode once more, with respect to u, gives J v = d(p(u)^T v) / du. Forward mode would not do for maps that call
reverse mode themselves (the trace estimators of residual flows), where it loses the tangent without a word.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from models.flow.bijection import Bijection, Chain

Function = Callable[[Tensor], Tensor]
Map = Bijection | Function
Module = TypeVar("Module", bound=nn.Module)


def float64_copy(network: Module) -> Module:
    """Return a copy of ``network`` in float64 and eval mode that asks for no gradients of its parameters.

    In float32 a singular value below 1e-7 of the largest is noise.
    """
    copied = copy.deepcopy(network).double().eval().requires_grad_(False)
    for module in copied.modules():
        if isinstance(module, Chain):
            module.saver = None  # plain autograd: products with J need derivatives of derivatives
    return copied


def function_of(mapping: Map, condition: Any = None, inverse: bool = False) -> Function:
    """Return ``mapping`` under ``condition``, or its inverse, as a function of one tensor.

    Raises ValueError for a function (no bijection) of which a condition or the inverse is asked.
    """
    if isinstance(mapping, Bijection):
        apply = mapping.inverse if inverse else mapping
        return lambda x: apply(x, condition)[0]
    if inverse or condition is not None:
        raise ValueError("a function has neither condition nor inverse; give a Bijection, or close over the condition")
    return mapping


def checked_point(x: Tensor) -> Tensor:
    """Return ``x`` detached; ValueError unless it is one input (batch 1) in float64."""
    if x.dtype != torch.float64 or x.shape[0] != 1:
        raise ValueError(
            f"a Jacobian is taken at one point in float64, got {tuple(x.shape)} {x.dtype}; give x[:1].double() and a "
            "network from float64_copy"
        )
    return x.detach()


def jacobian(function: Function, x: Tensor, rows: int = 64) -> Tensor:
    """Return the whole Jacobian ``(outputs, inputs)`` at ``x``, ``rows`` of its rows at a time."""
    x = checked_point(x)
    with torch.enable_grad():
        outputs = function(x).numel()
        parts = []
        for first in range(0, outputs, rows):
            count = min(rows, outputs - first)
            copies = x.repeat(count, *[1] * (x.ndim - 1)).requires_grad_()  # one copy of the point per row
            y = function(copies).flatten(1)
            one_hot = torch.zeros_like(y)
            one_hot[torch.arange(count), first + torch.arange(count)] = 1.0
            parts.append(_gradient(y, copies, one_hot).flatten(1))
    return torch.cat(parts)


class Linearized:
    """J v and J^T u of a function at ``x``; the evaluation and its graph are kept, so each costs about a backward."""

    def __init__(self, function: Function, x: Tensor) -> None:
        with torch.enable_grad():
            self._x = checked_point(x).clone().requires_grad_()
            self._y = function(self._x)
            self._u = torch.zeros_like(self._y).requires_grad_()
            self._pulled = _gradient(self._y, self._x, self._u, create_graph=True)

    @property
    def value(self) -> Tensor:
        """Return the function's value at the point."""
        return self._y.detach()

    def forward(self, v: Tensor) -> Tensor:
        """Return J v, shaped as the value, for ``v`` shaped as the point."""
        return _gradient(self._pulled, self._u, v, retain_graph=True)

    def adjoint(self, u: Tensor) -> Tensor:
        """Return J^T u, shaped as the point, for ``u`` shaped as the value."""
        return _gradient(self._y, self._x, u, retain_graph=True)

    def is_consistent(self, v: Tensor, u: Tensor, tolerance: float = 1e-6) -> bool:
        """Return whether u^T (J v) = (J^T u)^T v for these two vectors, to rounding.

        It is not where the first derivative is right but cannot be derived again, as in an inverse by iteration.
        """
        forward, adjoint = self.forward(v), self.adjoint(u)
        scale = torch.maximum(forward.norm() * u.norm(), adjoint.norm() * v.norm())
        return bool(((forward * u).sum() - (adjoint * v).sum()).abs() <= tolerance * scale)


def _gradient(y: Tensor, x: Tensor, weight: Tensor, **how: bool) -> Tensor:
    """Return d(weight^T y) / dx; zero where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(y, x, weight, materialize_grads=True, **how)
    return gradient
