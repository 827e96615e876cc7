"""What it takes to compute a layer a second time: is its input the first one, which tensors does it see, and where."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

# --- Prints: what is remembered of an input, to measure the error of its recomputation.


def print_of(x: Tensor) -> Tensor:
    """Return ``(B, C + 1)`` float64 for ``(B, C, H, W)``: per channel a signed sum over pixels; the picture's norm.

    For random signs r, E (r . e)^2 = |e|^2: the differences of two prints estimate the norm of the difference of what
    left them, and every pixel takes part. The signs are the same in every call.
    """
    signs = _signs(x.shape[2:].numel(), x.device).to(x.dtype).view(x.shape[2:])
    norm = torch.linalg.vector_norm(x, dim=(1, 2, 3), dtype=torch.float64)
    return torch.cat([(x * signs).sum((2, 3), dtype=torch.float64), norm[:, None]], 1)


def relative_error(x: Tensor, first: Tensor) -> float:
    """Return the estimated largest error of any picture, relative to the largest norm, given the print ``first``.

    If what left the print was not finite, as in a training that diverged, no inverse is to blame: 0.
    """
    norm = first[:, -1].max()
    error = torch.linalg.vector_norm((print_of(x) - first)[:, :-1], dim=1).max()
    tiny = torch.finfo(torch.float64).tiny
    return float(torch.where(norm.isfinite(), error / norm.clamp(min=tiny), 0.0))


@functools.lru_cache(maxsize=16)
def _signs(count: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return (torch.randint(2, (count,), generator=generator) * 2 - 1).to(device, torch.float32)


# --- Tensors inside of conditions, which may be nested.


class Slot(NamedTuple):
    """The place of a tensor in a structure that was emptied."""

    number: int


def leaves(structure: Any) -> Iterator[Any]:
    """Yield what nested dictionaries, lists and tuples hold."""
    if isinstance(structure, dict | list | tuple) and not isinstance(structure, Slot):
        for part in structure.values() if isinstance(structure, dict) else structure:
            yield from leaves(part)
    else:
        yield structure


def exchange(structure: Any, new: Callable[[Any], Any]) -> Any:
    """Return the structure with ``new(leaf)`` in the place of every tensor and slot."""
    if isinstance(structure, Tensor | Slot):
        return new(structure)
    if isinstance(structure, dict):
        return {key: exchange(part, new) for key, part in structure.items()}
    if isinstance(structure, list | tuple):
        parts = [exchange(part, new) for part in structure]
        return type(structure)(*parts) if hasattr(structure, "_fields") else type(structure)(parts)
    return structure


# --- The surroundings of the first computation.


def same_autocast(x: Tensor) -> Callable[[], AbstractContextManager[Any]]:
    """Return what makes contexts with the autocast state of now.

    Without its cache: weights that are cast where no gradient is asked for must not serve where one is.
    """
    device = x.device.type
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype, enabled, cache_enabled=False)


def random_state(device: torch.device) -> list[Tensor]:
    """Return the state of the generators that a layer may draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextmanager
def replaying(state: list[Tensor] | None, device: torch.device) -> Iterator[None]:
    """Draw in this block the random numbers that followed ``state`` (None: no matter which).

    The ones outside go on as if nothing had been.
    """
    if state is None:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_rng_state(state[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state[1], device)
        yield
