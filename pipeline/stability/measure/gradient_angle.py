"""The angle between true gradients and those of inputs that were recomputed by the inverse (paper B, Figs. 1 and 18).

Reversible backpropagation stores a network's output alone and recomputes every layer's input from it. Where the inverse
is inaccurate, so are inputs and gradients, without a word; memory-saving gradients of models/flow/memory_saving.py
measure that and fall back, which is left out here on purpose: what is measured is what the fallback protects from.

For unit vectors u and v the angle is 2 atan2(|u - v|, |u + v|): with the angle a between them, |u - v| = 2 sin(a / 2)
and |u + v| = 2 cos(a / 2). The arc cosine of u . v has an error of 1e-8 near 0 in float64, and of 1e-2 or so where the
dot product was rounded to float32, as published figures were; this one is as exact as u and v are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.flow.memory_saving import Trusting, backpropagating

Gradients = Sequence[Tensor | None]


class Angle(NamedTuple):
    """An angle in radians, [0, pi], and |difference| / |true gradient|; None with a reason in a few words."""

    radians: float | None
    relative_difference: float | None
    reason: str = ""


def gradient_angle(
    network: nn.Module, loss: Callable[[], Tensor], parameters: Iterable[nn.Parameter] | None = None
) -> Angle:
    """Return how far reversible gradients of ``loss()``, without fallback, lie from the true ones.

    ``loss`` computes a scalar with ``network``, the same at every call; it is called twice, with equal random numbers,
    and each time differentiated with respect to ``parameters`` (None: all of the network's that require a gradient).
    Their ``grad`` is left alone. Parameters that the loss does not reach count as zeros. In which precision is the
    caller's choice: it is that of the network and of what ``loss`` feeds it.
    """
    chosen = [p for p in (network.parameters() if parameters is None else parameters) if p.requires_grad]
    devices = {parameter.device.index or 0 for parameter in chosen if parameter.device.type == "cuda"}
    found = []
    for make in (lambda: None, Trusting):
        with torch.random.fork_rng(sorted(devices)), backpropagating(network, make), torch.enable_grad():
            found.append(torch.autograd.grad(loss(), chosen, allow_unused=True))
    return angle_between(*found)


def angle_between(true: Gradients, other: Gradients) -> Angle:
    """Return the angle between two gradients, each given as one tensor per parameter (None: zeros), in float64.

    None where one of them is not finite or is zero: then there is no direction to compare.
    """
    norms = []
    for name, gradients in (("true", true), ("reversible", other)):
        norms.append(_norm(gradients))
        if not math.isfinite(norms[-1]):
            return Angle(None, None, f"the {name} gradient is not finite")
        if norms[-1] == 0.0:
            return Angle(None, None, f"the {name} gradient is zero")
    first, second = norms
    pairs = [
        (_filled(one, two).double() / first, _filled(two, one).double() / second)
        for one, two in zip(true, other, strict=True)
        if one is not None or two is not None
    ]
    apart, along = (_norm([u + sign * v for u, v in pairs]) for sign in (-1.0, 1.0))
    return Angle(2.0 * math.atan2(apart, along), _norm([u - v * (second / first) for u, v in pairs]))


def _norm(tensors: Gradients) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(t, dtype=torch.float64)) for t in tensors if t is not None))


def _filled(gradient: Tensor | None, other: Tensor | None) -> Tensor:
    return torch.zeros_like(other) if gradient is None else gradient  # type: ignore[arg-type]
