"""Watching a flow from outside: what comes out of each layer, in the direction that is being computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Literal

from torch import Tensor

Observer = Callable[[Any, Tensor], None]  # of the layer, a Bijection, and what came out of it
Direction = Literal["forward", "inverse"]

# A context variable: what one thread or task observes is no business of another. Outer observers come first.
_observers: ContextVar[tuple[tuple[Direction, Observer], ...]] = ContextVar("observers", default=())


@contextlib.contextmanager
def observe_forward(observer: Observer) -> Iterator[None]:
    """Call ``observer(layer, output)`` after every layer of every chain that is applied in this block.

    A layer that holds a chain, as Split does, comes after the layers of that chain. Observers may be nested: each
    sees every layer.
    """
    with _observe("forward", observer):
        yield


@contextlib.contextmanager
def observe_inverse(observer: Observer) -> Iterator[None]:
    """Call ``observer(layer, output)`` after every layer of every chain that is inverted in this block.

    As ``observe_forward``; a layer that holds a chain comes after the layers of that chain here, too.
    """
    with _observe("inverse", observer):
        yield


def observers(direction: Direction) -> list[Observer]:
    """Return who is to be told of every layer's output in this direction."""
    return [observer for wanted, observer in _observers.get() if wanted == direction]


@contextlib.contextmanager
def _observe(direction: Direction, observer: Observer) -> Iterator[None]:
    token = _observers.set((*_observers.get(), (direction, observer)))
    try:
        yield
    finally:
        _observers.reset(token)
