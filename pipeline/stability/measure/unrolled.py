"""A flow as a list of steps, however its chains are nested, so that it can be run up to any layer and back.

A split's inner layers work on a part of what there is, while the other part waits. Steps therefore map a stack of
tensors: the last one is worked on, those before it wait. ``Split`` becomes a step that parts the two, then the steps of
what it holds, then one that puts the latent together; its arithmetic is its own.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow.bijection import At, Bijection, Chain
from models.flow.layers.split import Split
from models.restoration.flow import RestorationFlow
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow

Stack = tuple[Tensor, ...]


class Step(ABC):
    """An invertible map of a stack. ``name``: of the layer that it is; empty where values are only moved."""

    name: str = ""

    @abstractmethod
    def forward(self, stack: Stack) -> Stack:
        """Return the stack behind this step."""

    @abstractmethod
    def inverse(self, stack: Stack) -> Stack:
        """Return the stack before this step."""


def unrolled(flow: Bijection, condition: Any = None) -> list[Step]:
    """Return the steps whose forwards, one after the other, are ``flow(x, condition)``, for the stack ``(x,)``."""
    return list(_steps(flow, condition))


@functools.singledispatch
def _steps(layer: Bijection, condition: Any) -> Iterator[Step]:
    yield _Layer(layer, condition)


@_steps.register
def _(layer: Chain, condition: Any) -> Iterator[Step]:
    for inner, own in zip(layer._layers(), layer._shared(condition), strict=True):
        yield from _steps(inner, own)


@_steps.register
def _(layer: At, condition: Any) -> Iterator[Step]:
    yield from _steps(layer.inner, condition)


@_steps.register
def _(layer: Split, condition: Any) -> Iterator[Step]:
    yield _Part(layer)
    yield from _steps(layer.rest, condition)
    yield _Join(layer.consumed * layer.factor**2)


def _tails(layer: RestorationFlow) -> Iterator[Step]:
    if layer.tails is not None:
        yield _Layer(layer.tails, None)


@_steps.register
def _(layer: SuperResolutionFlow, condition: Any) -> Iterator[Step]:
    yield from _tails(layer)
    yield _Subtract("base", condition.base)
    yield from _steps(layer.flow, condition.shared)


@_steps.register
def _(layer: LowLightFlow, condition: Any) -> Iterator[Step]:
    yield from _tails(layer)
    yield from _steps(layer.flow, condition.shared)
    yield _Subtract("mean", condition.mean)


class _Layer(Step):
    def __init__(self, layer: Bijection, condition: Any) -> None:
        self.name = str(layer.place or type(layer).__name__)
        self.layer, self.condition = layer, condition

    def forward(self, stack: Stack) -> Stack:
        return (*stack[:-1], self.layer(stack[-1], self.condition)[0])

    def inverse(self, stack: Stack) -> Stack:
        return (*stack[:-1], self.layer.inverse(stack[-1], self.condition)[0])


class _Subtract(Step):
    def __init__(self, name: str, what: Tensor) -> None:
        self.name, self.what = name, what

    def forward(self, stack: Stack) -> Stack:
        return (*stack[:-1], stack[-1] - self.what)

    def inverse(self, stack: Stack) -> Stack:
        return (*stack[:-1], stack[-1] + self.what)


class _Part(Step):
    """x -> what waits, standardized, and what goes on: the split with nothing but a rearrangement in it."""

    def __init__(self, split: Split) -> None:
        self.name = str(split.place or "split")
        self.factor = split.factor
        self.early = split.consumed * split.factor**2
        self.split = Split(split.passed + split.consumed, _Squeezed(split.factor), split.factor, split.caps)
        self.split.prior, self.split.prior_range = split.prior, split.prior_range

    def forward(self, stack: Stack) -> Stack:
        z = self.split(stack[-1])[0]
        return (*stack[:-1], z[:, -self.early :], F.pixel_shuffle(z[:, : -self.early], self.factor))

    def inverse(self, stack: Stack) -> Stack:
        z = torch.cat([F.pixel_unshuffle(stack[-1], self.factor), stack[-2]], 1)
        return (*stack[:-2], self.split.inverse(z)[0])


class _Join(Step):
    """What waits and what came through -> the latent of both, ``early`` channels of it that have waited."""

    def __init__(self, early: int) -> None:
        self.early = early

    def forward(self, stack: Stack) -> Stack:
        return (*stack[:-2], torch.cat([stack[-1], stack[-2]], 1))

    def inverse(self, stack: Stack) -> Stack:
        return (*stack[:-1], stack[-1][:, -self.early :], stack[-1][:, : -self.early])


class _Squeezed(Bijection):
    """``(B, C, H, W)`` to ``(B, C * factor^2, H / factor, W / factor)``, values as they are."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, self.factor), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        return F.pixel_shuffle(z, self.factor), z.new_zeros(z.shape[0])
