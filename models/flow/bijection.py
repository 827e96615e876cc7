"""The one contract of every invertible layer, and the chain that joins layers.

Shapes: B images, C channels, H x W pixels. ``log_det`` has shape ``(B,)`` and is in nats.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

InverseObserver = Callable[["Bijection", Tensor], None]
_observer: ContextVar[InverseObserver | None] = ContextVar("inverse_observer", default=None)


class Bijection(nn.Module, ABC):
    """An invertible map of images that knows the log-determinant of its Jacobian.

    To implement one: write ``forward`` and ``inverse``. If it looks at a condition, write ``share``
    as well: it receives the encoder's features and returns whatever depends on them alone, so that
    this part is computed once per image and reused for every draw and temperature. A condition that
    was shared for one image (batch 1) broadcasts over a batch of draws of that image.

    ``label`` names a layer for people, such as "level 2 step 3 coupling"; containers have none.
    """

    label: str = ""

    def share(self, features: Any) -> Any:
        """Return the condition that ``forward`` and ``inverse`` take; None for an unconditional layer."""
        return None

    @abstractmethod
    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Return ``(z, log_det)`` with ``log_det = log |det dz/dx|``, shape ``(B,)``."""

    @abstractmethod
    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Return ``(x, log_det)`` with ``log_det = log |det dx/dz|``, shape ``(B,)``."""


class Unshared(NamedTuple):
    """A condition still to be shared: to save memory, the layer computes its share when it is its turn."""

    features: Any


class MemorySaver(Protocol):
    """How a chain computes where gradients are asked for and memory is short; see models/flow/memory_saving.py."""

    def postpone(self, layers: Sequence[Bijection], features: Any) -> list[Any]:
        """Return one condition per layer."""
        ...

    def walk(
        self, layers: Sequence[Bijection], x: Tensor, conditions: Sequence[Any], inverse: bool
    ) -> tuple[Tensor, Tensor]:
        """Return what the chain's ``forward`` or ``inverse`` returns."""
        ...


class Chain(Bijection):
    """Layers one after the other; ``inverse`` walks them backwards.

    ``saver``: how gradients are computed with less memory; None: by plain autograd.
    """

    saver: MemorySaver | None = None

    def __init__(self, layers: Iterable[Bijection]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def share(self, features: Any) -> list[Any]:
        """Return one condition per layer."""
        if self.saver is not None and torch.is_grad_enabled():
            return self.saver.postpone(self._layers(), features)
        return [layer.share(features) for layer in self._layers()]

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Apply the layers in order; see the contract."""
        if self.saver is not None and torch.is_grad_enabled():
            return self.saver.walk(self._layers(), x, self._conditions(condition), inverse=False)
        log_det = x.new_zeros(x.shape[0], dtype=log_det_dtype(x))
        for layer, own in zip(self._layers(), self._shared(condition), strict=True):
            x, step = layer(x, own)
            log_det = log_det + step
        return x, log_det

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Apply the inverses in reverse order; see the contract."""
        if self.saver is not None and torch.is_grad_enabled() and _observer.get() is None:
            return self.saver.walk(self._layers(), z, self._conditions(condition), inverse=True)
        log_det = z.new_zeros(z.shape[0], dtype=log_det_dtype(z))
        observe = _observer.get()
        for layer, own in zip(reversed(self._layers()), reversed(self._shared(condition)), strict=True):
            z, step = layer.inverse(z, own)
            log_det = log_det + step
            if observe is not None:
                observe(layer, z)
        return z, log_det

    def _layers(self) -> list[Bijection]:
        return list(self.layers)  # type: ignore[arg-type]

    def _conditions(self, condition: Any) -> list[Any]:
        return [None] * len(self.layers) if condition is None else condition

    def _shared(self, condition: Any) -> list[Any]:
        every = zip(self._layers(), self._conditions(condition), strict=True)
        return [layer.share(own.features) if isinstance(own, Unshared) else own for layer, own in every]


class At(Bijection):
    """A bijection that reads one entry of a table of features, such as those of its level."""

    def __init__(self, key: Any, inner: Bijection) -> None:
        super().__init__()
        self.key = key
        self.inner = inner

    def share(self, features: Any) -> Any:
        """Return the inner bijection's condition on ``features[key]``, or on nothing."""
        return self.inner.share(None if features is None else features[self.key])

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Apply the inner bijection; see the contract."""
        result: tuple[Tensor, Tensor] = self.inner(x, condition)
        return result

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Apply the inner inverse; see the contract."""
        return self.inner.inverse(z, condition)


@contextlib.contextmanager
def observe_inverse(observer: InverseObserver) -> Iterator[None]:
    """Call ``observer(layer, output)`` after every layer of every chain that is inverted in this block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def log_det_dtype(x: Tensor) -> torch.dtype:
    """Return the type that log-determinants of ``x`` add up in: float64 stays, all else is float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def sum_pixels(values: Tensor, batch: int) -> Tensor:
    """Return ``(batch,)``: the sum over all but the first axis; a batch of 1 broadcasts."""
    return values.flatten(1).sum(1).expand(batch)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Return log N(z; 0, I) per image, ``(B,)``, nats."""
    constant = 0.5 * torch.log(torch.tensor(2.0 * torch.pi, dtype=torch.float64)).item()
    return -(0.5 * z.square() + constant).flatten(1).sum(1)
