"""A network as its layers at one input: what goes into each, what comes out, and how their Jacobians combine.

Layers one after the other multiply: |J| <= product of |J_i|. A split is two steps: T standardizes the half that
leaves by a prior that the other half predicts (a triangular block, like a coupling), then the rest of the flow acts on
the half that stays, beside the identity on what has left: |J| <= |J_T| max(1, |J_rest|). The same holds for inverses.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow.bijection import At, Bijection, Chain, sum_pixels
from models.flow.layers.split import Split
from models.restoration.flow import RestorationFlow
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One layer: ``z`` = layer(``x``) under ``condition``."""

    layer: Bijection
    x: Tensor
    z: Tensor
    condition: Any


@dataclasses.dataclass(frozen=True)
class Series:
    """Parts that are applied one after the other."""

    parts: tuple[Node, ...]


@dataclasses.dataclass(frozen=True)
class Beside:
    """``first``, then ``rest`` on some of the channels beside the identity on the others."""

    first: Step
    rest: Node


Node = Step | Series | Beside


class Standardization(Bijection):
    """The part of a split that is no flow of its own: (x1, x2) to (x1, (x2 - mean(x1)) exp(-logs(x1)))."""

    def __init__(self, split: Split) -> None:
        super().__init__()
        self.split = split
        self.place = split.place

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Standardize the second half; see the contract."""
        x1, x2 = x[:, : self.split.passed], x[:, self.split.passed :]
        mean, logs = self.split._prior(x1)
        return torch.cat([x1, (x2 - mean) * (-logs).exp()], 1), -sum_pixels(logs, x.shape[0])

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Undo it; see the contract."""
        z1, eps = z[:, : self.split.passed], z[:, self.split.passed :]
        mean, logs = self.split._prior(z1)
        return torch.cat([z1, mean + logs.exp() * eps], 1), sum_pixels(logs, z.shape[0])


@functools.singledispatch
def walk(layer: Bijection, x: Tensor, condition: Any = None) -> tuple[Node, Tensor]:
    """Return the layers of a network at ``x``, and its latent; what no rule takes apart is one step."""
    with torch.no_grad():
        step = Step(layer, x.detach(), layer(x, condition)[0], condition)
    return step, step.z


@walk.register
def _(layer: Chain, x: Tensor, condition: Any = None) -> tuple[Node, Tensor]:
    parts: list[Node] = []
    for inner, own in zip(layer._layers(), layer._shared(condition), strict=True):
        part, x = walk(inner, x, own)
        parts.append(part)
    return Series(tuple(parts)), x


@walk.register
def _(layer: At, x: Tensor, condition: Any = None) -> tuple[Node, Tensor]:
    return walk(layer.inner, x, condition)


@walk.register
def _(layer: Split, x: Tensor, condition: Any = None) -> tuple[Node, Tensor]:
    first, z = walk(Standardization(layer), x)
    rest, z1 = walk(layer.rest, x[:, : layer.passed], condition)
    early = F.pixel_unshuffle(z[:, layer.passed :], layer.factor)
    return Beside(first, rest), torch.cat([z1, early], 1)  # type: ignore[arg-type]


@walk.register
def _(layer: SuperResolutionFlow, x: Tensor, condition: Any = None) -> tuple[Node, Tensor]:
    tails, x = _tails(layer, x)
    node, z = walk(layer.flow, x - condition.base, condition.shared)
    return Series((*tails, node)), z


@walk.register
def _(layer: LowLightFlow, x: Tensor, condition: Any = None) -> tuple[Node, Tensor]:
    tails, x = _tails(layer, x)
    node, z = walk(layer.flow, x, condition.shared)
    return Series((*tails, node)), z - condition.mean


def _tails(layer: RestorationFlow, x: Tensor) -> tuple[list[Node], Tensor]:
    if layer.tails is None:
        return [], x
    node, x = walk(layer.tails, x)
    return [node], x


def steps(node: Node) -> Iterator[Step]:
    """Yield the steps of a walk, from picture to latent; a split's comes before those of its rest."""
    if isinstance(node, Step):
        yield node
    elif isinstance(node, Series):
        for part in node.parts:
            yield from steps(part)
    else:
        yield node.first
        yield from steps(node.rest)


def log10_bound(node: Node, bound: Callable[[Step], float]) -> float:
    """Return log10 of the bound of a whole walk, given those of its steps; sums of logs do not overflow."""
    if isinstance(node, Step):
        return math.log10(bound(node)) if bound(node) > 0 else -math.inf
    if isinstance(node, Series):
        return sum(log10_bound(part, bound) for part in node.parts)
    return log10_bound(node.first, bound) + max(0.0, log10_bound(node.rest, bound))
