"""Which of the workers this process is, and what all of them say; without a process group there is one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist


def rank() -> int:
    """Return the number of this worker."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Return how many workers there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Return whether this worker writes results and speaks to people."""
    return rank() == 0


def mean_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of ``value`` over all workers, the same on each; ``value`` itself is left alone."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
        value = value / world_size()
    return value


def of_first(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the ``values`` of the first worker on every worker."""
    if world_size() == 1:
        return list(values)
    shared = torch.tensor(values, device=device)
    dist.broadcast(shared, 0)
    found: list[float] = shared.tolist()
    return found


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether ``flag`` is true on any worker."""
    if world_size() == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value)
    return bool(value > 0)
