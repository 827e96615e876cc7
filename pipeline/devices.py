"""Which device and how many threads a stage computes with."""

from __future__ import annotations

import joblib
import torch

from models.flow.compilation import compile_splines
from pipeline.config import RuntimeConfig
from pipeline.console import say
from pipeline.errors import ConfigError


def choose_device(runtime: RuntimeConfig, own: torch.device | None = None) -> torch.device:
    """Return the device of ``runtime.device``; sets the threads, and whether splines are compiled.

    ``auto`` is ``own``, the one that a launcher gave to this worker, else the first GPU, else the CPU. Raises
    ConfigError for a device that cannot be used.
    """
    if runtime.threads != "auto":
        torch.set_num_threads(runtime.threads)
    device = _chosen(runtime, own)
    try:
        compile_splines(runtime.compile, device)
    except RuntimeError as error:
        say(f"runtime.compile: no compiler works here, so splines are computed as without it ({error})")
    return device


def _chosen(runtime: RuntimeConfig, own: torch.device | None) -> torch.device:
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
