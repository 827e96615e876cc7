"""Which device and how many threads a stage computes with."""

from __future__ import annotations

import joblib
import torch

from pipeline.config import RuntimeConfig
from pipeline.errors import ConfigError


def choose_device(runtime: RuntimeConfig, own: torch.device | None = None) -> torch.device:
    """Return the device of ``runtime.device``; sets the threads.

    ``auto`` is ``own``, the one that a launcher gave to this worker, else the first GPU, else the CPU. Raises
    ConfigError for a device that cannot be used.
    """
    if runtime.threads != "auto":
        torch.set_num_threads(runtime.threads)
    if runtime.device == "auto" and own is not None:
        return own
    if runtime.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(runtime.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        where = f"params.yaml: runtime.device '{runtime.device}'"
        raise ConfigError(f"{where} cannot be used ({reason}); try auto") from None
    return device


def workers_of(runtime: RuntimeConfig) -> int:
    """Return how many workers a training has: ``runtime.workers``; auto is one per GPU, else 0, this process."""
    return torch.cuda.device_count() if runtime.workers == "auto" else runtime.workers


def at_a_time(runtime: RuntimeConfig) -> int:
    """Return how many trials run side by side: ``runtime.trials``; auto is one per GPU, else one per core."""
    if runtime.trials != "auto":
        return runtime.trials
    return torch.cuda.device_count() or joblib.cpu_count()
