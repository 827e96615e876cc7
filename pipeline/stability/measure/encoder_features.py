"""What the encoder of a flow sees of an input: its tapped blocks, by patch, and its features pushed away from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.features import Features


@contextlib.contextmanager
def tapped_blocks(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that holds, after a pass of ``encoder`` in this block, what its tapped blocks put out.

    Paper A, A.1, takes the RRDB blocks 1, 8, 15, 22 (super-resolution) and 1, 3, 5, 7 (low light): the encoder's own
    ``taps``. An encoder without taps gives its last block.
    """
    trunk: Any = encoder.trunk
    maps: list[Tensor] = []
    hooks = [
        trunk[tap].register_forward_hook(lambda _, __, output: maps.append(output))
        for tap in encoder.taps or (len(trunk) - 1,)  # type: ignore[union-attr]
    ]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def pushed(encoder: nn.Module, factor: float) -> Iterator[None]:
    """In this block ``encoder`` gives mean + factor * (features - mean), the mean of each map over its pixels.

    1 changes nothing; anything else is a condition of which the flow has seen no like, made from one that it knows.
    """

    def push(_: nn.Module, __: Any, output: Any) -> Any:
        levels, rest = (output[0], output[1:]) if isinstance(output, tuple) else (output, ())
        moved = {level: _push(features, factor) for level, features in levels.items()}
        return (moved, *rest) if rest else moved

    hook = encoder.register_forward_hook(push)
    try:
        yield
    finally:
        hook.remove()


def patch_means(maps: list[Tensor], rows: int, columns: int) -> Tensor:
    """Return the means of ``maps``, each ``(1, C, h, w)``, over a grid of patches: ``(rows * columns, all C)``."""
    means = [F.adaptive_avg_pool2d(each.double(), (rows, columns))[0].flatten(1) for each in maps]
    return torch.cat(means).T


def _push(features: Features | Tensor, factor: float) -> Features | Tensor:
    if isinstance(features, Features):  # a map and its enlargement by nearest have one mean
        return Features(*(_pushed(part, factor) for part in features))
    return _pushed(features, factor)


def _pushed(features: Tensor, factor: float) -> Tensor:
    mean = features.mean((2, 3), keepdim=True)
    return mean + factor * (features - mean)
