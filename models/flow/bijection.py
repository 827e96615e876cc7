"""The one contract of every invertible layer, and the chain that joins layers.

Shapes: B images, C channels, H x W pixels. ``log_det`` has shape ``(B,)`` and is in nats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from models.flow.observing import Direction, observers
from models.flow.place import Place


class Bijection(nn.Module, ABC):
    """An invertible map of images that knows the log-determinant of its Jacobian.

    To implement one: write ``forward`` and ``inverse``. If it looks at a condition, write ``share``
    as well: it receives the encoder's features and returns whatever depends on them alone, so that
    this part is computed once per image and reused for every draw and temperature. A condition that
    was shared for one image (batch 1) broadcasts over a batch of draws of that image.

    ``place`` says where in a multi-scale flow the layer stands; containers and layers on their own have none.
    """

    place: Place | None = None

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
        if self._saves("forward") and self.saver is not None:
            return self.saver.walk(self._layers(), x, self._conditions(condition), inverse=False)
        return self._walk("forward", x, self._layers(), self._shared(condition))

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Apply the inverses in reverse order; see the contract."""
        if self._saves("inverse") and self.saver is not None:
            return self.saver.walk(self._layers(), z, self._conditions(condition), inverse=True)
        return self._walk("inverse", z, self._layers()[::-1], self._shared(condition)[::-1])

    def _saves(self, direction: Direction) -> bool:
        """Return whether memory is saved: not without gradients, nor while somebody watches every layer."""
        return self.saver is not None and torch.is_grad_enabled() and not observers(direction)

    def _walk(
        self, direction: Direction, value: Tensor, layers: list[Bijection], conditions: Sequence[Any]
    ) -> tuple[Tensor, Tensor]:
        log_det = value.new_zeros(value.shape[0], dtype=log_det_dtype(value))
        watching = observers(direction)
        for layer, condition in zip(layers, conditions, strict=True):
            value, step = layer(value, condition) if direction == "forward" else layer.inverse(value, condition)
            log_det = log_det + step
            for observe in watching:
                observe(layer, value)
        return value, log_det

    def _layers(self) -> list[Bijection]:
        return list(self.layers)  # type: ignore[arg-type]

    def _conditions(self, condition: Any) -> Sequence[Any]:
        if condition is None:
            return [None] * len(self.layers)
        if not isinstance(condition, list | tuple) or len(condition) != len(self.layers):
            raise ValueError(
                f"{described(self)}: needs a list of {len(self.layers)} conditions, one per layer as `share` returns "
                f"them; got {_shown(condition)}"
            )
        return condition

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


def check_condition(layer: Bijection, x: Tensor, condition: Any, wanted: Sequence[int]) -> None:
    """Raise ValueError, naming the layer, unless ``condition`` is a tensor of shape ``(1 or B, *wanted)``, B being x's.

    It looks at shapes alone, so it costs no synchronization.
    """
    if isinstance(condition, Tensor):
        batch, *rest = condition.shape or (0,)
        if rest == list(wanted) and batch in (1, x.shape[0]):
            return
    batches = "1" if x.shape[0] == 1 else f"1 or {x.shape[0]}"
    raise ValueError(
        f"{described(layer)}: for an input of shape {tuple(x.shape)} the condition must have shape "
        f"({', '.join([batches, *map(str, wanted)])}); got {_shown(condition)}"
    )


def described(layer: Bijection) -> str:
    """Return the layer's place in words, or its class where it has none."""
    return str(layer.place or type(layer).__name__)


def _shown(condition: Any) -> str:
    if isinstance(condition, Tensor):
        return f"shape {tuple(condition.shape)}"
    if isinstance(condition, list | tuple):
        return f"{len(condition)} of them"
    return "none" if condition is None else f"a {type(condition).__name__}"


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
