"""How much memory a network needs for a pixel of its restoration: tried on a small picture, counted in bytes.

Every layer is convolutional, so what it needs grows with the pixels. Counted are the tensors that are alive at once, in
every operation, on whatever device; what a library takes for itself inside of an operation is not.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.inference.sampling import pad_to_multiple

_TRIED = 32  # rows and columns of the input that is tried


def bytes_per_pixel(network: Any, seen: Tensor) -> float:
    """Return the most bytes that decoding one draw holds at once, for each pixel of the restoration.

    ``seen``: an input of the network, ``(1, C, h, w)``, for its channels, type and device. Weights, inputs and latents
    are not counted.
    """
    small = pad_to_multiple(seen.new_zeros(1, seen.shape[1], _TRIED, _TRIED), network.multiple)
    height, width = small.shape[2:]
    z = small.new_zeros(1, *network.latent_shape(height, width))
    with torch.no_grad(), _Counting() as counted:
        network.inverse(z, network.share(small))
    return counted.most / (height * width * network.scale**2)


class _Counting(TorchDispatchMode):
    """Counts the bytes of all tensors that are made inside of it and still alive; ``most``: at most, at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self._now = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Carry out the operation and count what it made."""
        made = func(*args, **(kwargs or {}))
        held = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and id(leaf.untyped_storage()) not in held:
                self._add(leaf.untyped_storage())
        self.most = max(self.most, self._now)
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        number, size = id(storage), storage.nbytes()
        if number in self._alive:
            return

        def gone(_: Any) -> None:
            del self._alive[number]
            self._now -= size

        self._alive[number] = weakref.ref(storage, gone)
        self._now += size
