"""How far a flow is from being its own inverse: there and back through its first layers, in any precision.

Errors are those of the arithmetic alone: what is sent round has been rounded to the precision before, and differences
are taken in float64. Every layer's output is rounded to the precision, as a network that keeps its features in it; in
bfloat16, convolutions compute in it too, while ActNorm, 1x1 convolutions and transforms compute in float32 inside, as
they always do at least (models/flow/transforms/transform.py), on bfloat16 weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from pipeline.stability.measure.unrolled import Stack, Step

Network = TypeVar("Network", bound=nn.Module)

PRECISIONS: dict[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
}


class RoundTrip(NamedTuple):
    """There through ``depth`` layers and back. The errors are NaN where a value of what came back is not finite."""

    depth: int
    layer: str  # the last one on the way there
    largest: float  # absolute
    mean: float  # absolute
    nonfinite: int  # values of what came back
    values: int


def in_precision(network: Network, dtype: torch.dtype) -> Network:
    """Return a copy of ``network`` with all of its weights in ``dtype``.

    Its convolutions and linear layers take what they are given in ``dtype``: ActNorm and others hand float32 on.
    """
    found = copy.deepcopy(network).to(dtype)
    for module in found.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_pre_hook(lambda _, given: (given[0].to(dtype),))
    return found


@torch.no_grad()
def round_trips(
    steps: Sequence[Step], value: Tensor, points: int | None = None, inverse: bool = False
) -> list[RoundTrip]:
    """Return the errors after up to ``points`` depths, evenly spread over ``steps``, the whole flow the last of them.

    ``steps``: as ``unrolled`` returns them. ``value``: a batch of pictures; of latents, where ``inverse`` says that the
    way there is the inverse one and depth counts from the latent. Its dtype is the precision; the network must have the
    same. One way there serves all depths, so n layers take about ``points`` * n / 2 applications back.
    """
    passed = list(reversed(steps)) if inverse else list(steps)
    layers = [place for place, step in enumerate(passed) if step.name]  # elsewhere values are only moved
    depths = {layers[depth - 1]: depth for depth in spread(len(layers), points)}
    found: list[RoundTrip] = []
    stack: Stack = (value,)
    for place, step in enumerate(passed):
        stack = _moved(step, stack, inverse)
        if place in depths:
            returned = stack
            for undone in reversed(passed[: place + 1]):
                returned = _moved(undone, returned, not inverse)
            found.append(_compared(depths[place], step.name, value, returned[0]))
    return found


def spread(count: int, points: int | None) -> list[int]:
    """Return up to ``points`` whole numbers of 1 to ``count``, evenly spread, ``count`` among them; None: all."""
    if points is None or points >= count:
        return list(range(1, count + 1))
    return sorted({round(count * point / points) for point in range(1, points + 1)})


def _moved(step: Step, stack: Stack, inverse: bool) -> Stack:
    moved = step.inverse(stack) if inverse else step.forward(stack)
    return tuple(part.to(stack[-1].dtype) for part in moved)


def _compared(depth: int, layer: str, sent: Tensor, returned: Tensor) -> RoundTrip:
    errors = (returned.double() - sent.double()).abs()
    nonfinite = int((~errors.isfinite()).sum())
    largest, mean = (float("nan"), float("nan")) if nonfinite else (float(errors.max()), float(errors.mean()))
    return RoundTrip(depth, layer, largest, mean, nonfinite, errors.numel())
