"""Concatenations of which the parts alone are kept for the gradient.

In a dense block every convolution sees all maps before it, and autograd would keep each of these inputs whole: 576
channels where a block of 64 channels that grows by 32 makes 192.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.flow import written_out


@contextmanager
def kept_in_parts() -> Iterator[Callable[..., Tensor]]:
    """Yield what concatenates maps ``(B, C_i, H, W)`` along their channels.

    What operations in this block keep of its results for their gradients are the maps, which are concatenated anew
    when they are wanted. Nobody may change the maps, or weights, in place before that: autograd does not notice it.
    Hooks of a block around this one see none of these tensors, so a checkpoint around it saves nothing of them.
    """
    if not written_out.fits():  # hooks are nothing for torch.func
        yield lambda *maps: torch.cat(maps, 1)
        return
    made: dict[int, tuple[Tensor, tuple[Tensor, ...]]] = {}  # by address: autograd may hand over a tensor of its own

    def cat(*maps: Tensor) -> Tensor:
        whole = torch.cat(maps, 1)
        if whole.requires_grad:
            made[whole.data_ptr()] = whole, tuple(one.detach() for one in maps)
        return whole

    def pack(tensor: Tensor) -> Any:
        whole, maps = made.get(tensor.data_ptr(), (None, ()))
        # Detached: of an operation that keeps its own result, this would otherwise hold what holds it, for ever.
        return tensor.detach() if whole is None or whole.shape != tensor.shape else maps

    def unpack(kept: Any) -> Tensor:
        return kept if isinstance(kept, Tensor) else torch.cat(kept, 1)

    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            yield cat
    finally:
        made.clear()  # the hooks outlive the block
