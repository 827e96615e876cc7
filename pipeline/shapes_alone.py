"""Networks without values, for what shapes alone tell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def shapes_alone() -> Iterator[None]:
    """Build networks in this block on torch's meta device: of any size, in no memory, and without initial values."""
    with _NothingDrawn(), torch.device("meta"):
        yield


class _NothingDrawn(TorchFunctionMode):
    """Leaves initialization out: there is nothing to fill, and to find that out torch loads its compiler, a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if func is Tensor.normal_ and args[0].is_meta:
            return args[0]
        return func(*args, **kwargs)
