"""The invertibility attack of paper B (4.1.2, appendix E, eq. 12): a picture that the flow itself cannot reconstruct.

A picture of b bits q in {0, ..., 2^b - 1} stands for every x in [q, q + 1] / 2^b, all equally likely to a flow that was
trained with uniform dequantization. Among these, x' with the largest ||x' - F^-1(F(x'))||_2 is looked for, by signed
gradient ascent from the centre (q + 1/2) / 2^b within a radius of 1/2 / 2^b: 200 steps of 5e-4, b = 5 in the paper.
The released code starts at a random x' instead, of one picture: ``start="random"``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.flow.bijection import Bijection
from pipeline.errors import nearest
from pipeline.stability.measure.ascent import Box, ascend


class Attacked(NamedTuple):
    """What the attack made of B pictures. Errors are L2 norms over all values of a picture, in the network's range; one
    that is not finite says that values of the reconstruction are not.
    """

    start: Tensor  # (B, C, H, W)
    picture: Tensor  # (B, C, H, W), x'
    before: Tensor  # (B,), the error at ``start``
    after: Tensor  # (B,), the error at ``picture``
    nonfinite: Tensor  # (B,) bool: the reconstruction of ``picture`` is not finite
    steps: Tensor  # (B,) int64, steps taken
    searched: Tensor  # (B,) int64, how many of these without a gradient


def _centre(box: Box, generators: Sequence[torch.Generator]) -> Tensor:
    return (box.lower + box.upper) / 2


def _random(box: Box, generators: Sequence[torch.Generator]) -> Tensor:
    shares = torch.stack([torch.rand(box.lower.shape[1:], generator=source) for source in generators])
    return box.project(box.lower + (box.upper - box.lower) * shares.to(box.lower))


STARTS: dict[str, Callable[[Box, Sequence[torch.Generator]], Tensor]] = {"centre": _centre, "random": _random}


def dequantization_box(pixels: Tensor, bits: int, low: float = 0.0, high: float = 1.0) -> Box:
    """Return the x that ``pixels`` (uint8, any shape) stand for when ``bits`` of their 8 are kept, float32.

    ``low``, ``high``: the network's range of values. k / 255 lies in the box of k. Raises ValueError unless
    1 <= bits <= 8.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"bits must be 1 to 8, got {bits}")
    levels = 2**bits
    kept = torch.div(pixels, 256 // levels, rounding_mode="floor").double()
    lower, upper = (low + (high - low) * (kept + edge) / levels for edge in (0.0, 1.0))
    return Box(lower.float(), upper.float())


def reconstruction_error(flow: Bijection, x: Tensor, condition: Any = None) -> Tensor:
    """Return ||x - F^-1(F(x))||_2 per picture, ``(B,)``; not finite exactly if a value of the reconstruction is not."""
    # float64: the square of a large float32 is none
    difference = (x - flow.inverse(flow(x, condition)[0], condition)[0]).double()
    return torch.linalg.vector_norm(difference.flatten(1), dim=1)


def invertibility_attack(
    flow: Bijection,
    box: Box,
    generators: Sequence[torch.Generator],
    condition: Any = None,
    steps: int = 200,
    size: float = 5e-4,
    start: str = "centre",
    said: str = "",
) -> Attacked:
    """Attack ``flow`` in ``box``, with sides of shape ``(B, C, H, W)`` (see ``dequantization_box``).

    ``generators``: one per picture, for what is drawn at random. ``condition``: as ``flow`` takes it, one per picture.
    ``size``: of a step, in the network's range. ``start``: a key of STARTS; ValueError for another. ``said``: see
    ``ascend``.
    """
    if start not in STARTS:
        raise ValueError(f"start '{start}' does not exist; {nearest(start, STARTS)}")
    first = STARTS[start](box, generators)
    objective = functools.partial(reconstruction_error, flow, condition=condition)
    found = ascend(objective, first, box, steps, size, generators, said=said)
    broken = ~found.after.isfinite()
    return Attacked(first, found.point, found.before, found.after, broken, found.steps, found.searched)
