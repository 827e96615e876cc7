"""One part of a study, such as a variant at a seed: with a run, a folder and resume of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.config import RuntimeConfig
from pipeline.devices import choose_device
from pipeline.objective import Objective
from pipeline.seeds import seed_of
from pipeline.tracking.identity import Identity
from pipeline.tracking.run import Run
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.loop import Hooks, Outcome, Plan, Values, fit
from pipeline.training.stopping import stop_requests

Tag = str | int | float
Batches = Callable[[int, int], Iterable[Sequence[Tensor | None]]]


@dataclasses.dataclass(frozen=True)
class Trial:
    """What the work of a trial is given.

    ``tags``: what tells it from the study's other trials. ``folder``: its own, for what it wants to keep until the
    study has ended. ``run``: its MLflow run, nested in the study's.
    """

    tags: Mapping[str, Tag]
    identity: Identity
    folder: Path
    run: Run
    runtime: RuntimeConfig

    @property
    def name(self) -> str:
        """Return what people call it."""
        return self.identity.name

    def device(self) -> torch.device:
        """Return where to compute; sets the threads."""
        return choose_device(self.runtime)

    def seed_weights(self, *names: str | int) -> None:
        """Seed the initialization of weights by ``names``: trials of equal names start equally."""
        torch.manual_seed(seed_of("study", *names))

    def train(
        self,
        objective: Objective,
        plan: Plan,
        batches: Batches,
        validate: Callable[[nn.Module], Values] | None = None,
        log: Callable[[int, Values], None] = lambda step, values: None,
    ) -> Outcome:
        """Train by the one loop of all trainings (``pipeline.training.loop.fit``); goes on from its last checkpoint.

        ``batches(start, stop)`` must yield the same batches of these steps whenever it is asked. Logged values are
        metrics of the run, and ``log`` is told of them. Raises Interrupted and DivergenceError as ``fit`` does.
        """

        def tell(step: int, values: Values) -> None:
            self.run.metrics({f"train/{k}": v for k, v in values.items() if k != "step"}, step=step)
            log(step, values)

        store = CheckpointStore(self.folder)
        with stop_requests() as should_stop:
            hooks = Hooks(tell, validate, should_stop=should_stop)
            return fit(objective, plan.at_run_time(self.runtime), batches, store, self.device(), hooks)
