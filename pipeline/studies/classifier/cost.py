"""What finite differences cost (paper B, Table 11): seconds of steps with and without the penalty, in turns."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from pipeline.studies.classifier.data import Labelled
from pipeline.studies.classifier.training import Classification, Setting
from pipeline.studies.trial import Trial
from pipeline.training.loop import Trainer

FREQUENCIES = (1, 5, 10)  # Table 11's


def step_seconds(setting: Setting, data: Labelled, trial: Trial, rounds: int) -> dict[str, Any]:
    """Return the medians of ``rounds`` steps without and with the penalty, seconds; a first round is not counted.

    Of processor time, which other processes beside this one do not stretch, or by the clock on a GPU. ``overhead_K``:
    the mean over K steps, one of them with the penalty, over a step without.
    """
    device = trial.device()
    trial.seed_weights("classifier", setting.seed)
    objective = Classification(setting.network(data), setting.penalty(), setting.seed)
    plan = dataclasses.replace(setting.plan(trial.name), learning_rate=1e-9)  # costs the same, cannot diverge
    trainer = Trainer(objective, plan, device)
    x, labels = next(data.batches(setting.seed, setting.batch, 0, 1))
    batch = (x.to(device), labels.to(device))
    trainer.start(batch)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds + 1):
        for due, seconds in taken.items():
            # the regularizer looks at the step's number alone; where every step is due, none comes without it
            objective.regularizer = setting.penalty() if due else None
            trainer.step = setting.every - 1
            seconds.append(_timed(device, lambda: trainer.update(objective, batch)))
    plain, penalized = (median(seconds[1:]) for seconds in taken.values())
    overheads = {f"overhead_{k}": ((k - 1) * plain + penalized) / (k * plain) for k in FREQUENCIES}
    return {"seconds_plain": plain, "seconds_penalized": penalized, **overheads}


def _timed(device: torch.device, work: Callable[[], object]) -> float:
    clock = time.process_time
    if device.type == "cuda":
        clock = time.perf_counter
        torch.cuda.synchronize(device)
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started
