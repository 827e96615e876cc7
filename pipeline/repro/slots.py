"""Where a stage runs: how many run at a time, and the threads and GPUs that each of them has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.config import RuntimeConfig

Environment = dict[str, str]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def slots(
    jobs: int | None, runtime: RuntimeConfig, cores: int, devices: Sequence[str], environment: Mapping[str, str]
) -> list[Environment]:
    """Return per slot what a stage in it finds in its environment.

    ``jobs`` None: one per GPU, or without GPUs as many as the ``cores`` suffice for, each with ``runtime.workers`` and
    ``threads``. Of several jobs each has GPUs of its own, as many as a training has workers; one alone has all. A
    number of threads in params.yaml is that of every slot, however many there are: results then are equal bit for bit.
    ``auto`` shares the cores among the slots. What ``environment`` says of threads stays.
    """
    workers = max(1, runtime.workers) if isinstance(runtime.workers, int) else 1
    threads = runtime.threads if isinstance(runtime.threads, int) else 1
    groups = [devices[at : at + workers] for at in range(0, len(devices) - workers + 1, workers)]
    if runtime.device != "auto":
        groups = []  # the CPU, or the GPU that was chosen
    if jobs is None:
        jobs = len(groups) or (1 if runtime.device.startswith("cuda") else max(1, cores // (workers * threads)))
    count = threads if runtime.threads != "auto" else max(1, cores // jobs)
    shared = {name: str(count) for name in _THREADS if name not in environment}
    if jobs == 1 or not groups:
        return [dict(shared) for _ in range(jobs)]
    return [{**shared, _VISIBLE: ",".join(groups[at % len(groups)])} for at in range(jobs)]


def visible_devices(count: int, environment: Mapping[str, str]) -> list[str]:
    """Return the names of the ``count`` GPUs that this process sees, as CUDA_VISIBLE_DEVICES would name them."""
    named = environment.get(_VISIBLE)
    if named is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in named.split(",")][:count]
