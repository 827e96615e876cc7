"""The training loop: plain torch, the same for one process and for many under torch.distributed."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from models.flow.layers.actnorm import initializing
from models.flow.memory_saving import load_stored_layers, stored_layers
from pipeline.config import RecoveryConfig, RuntimeConfig
from pipeline.console import progress, warn
from pipeline.errors import ConfigError, DivergenceError, Interrupted
from pipeline.objective import Objective
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.optimizers import OptimizerFactory, adam, clip_spikes
from pipeline.training.ranks import any_rank, is_first, mean_over_ranks, of_first, rank, world_size
from pipeline.training.recovery import Health
from pipeline.training.schedule import learning_rate_at

_JUDGED_STEPS = 20  # their time tells how long the training will take
Values = dict[str, float]  # of one step, by name
Setting = Callable[[nn.Module], AbstractContextManager[None]]  # in its block, the batch that passes sets the network


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to train: sizes and schedule (see pipeline/config.py for the units).

    ``optimizer`` makes the optimizer of (parameters, betas); the loop sets its learning rate at every step.
    """

    what: str
    steps: int
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    milestones: Sequence[float] = ()
    decay: float = 0.5  # of the learning rate at each milestone
    warmup: int = 0
    clip_norm: float | None = None
    clip_spikes: float | None = None
    ema_decay: float = 0.0
    nonfinite_limit: int = 0
    recovery: RecoveryConfig | None = None
    precision: str = "float32"
    log_every: int = 10
    validation_every: int = 0
    checkpoint_seconds: float = 30.0
    patience_days: float = math.inf
    optimizer: OptimizerFactory = adam

    def at_run_time(self, runtime: RuntimeConfig) -> Plan:
        """Return the same plan, logged and saved as often as ``runtime`` says, and ended where it takes too long."""
        return dataclasses.replace(
            self,
            log_every=runtime.log_every,
            checkpoint_seconds=runtime.checkpoint_seconds,
            patience_days=runtime.patience_days,
        )


@dataclasses.dataclass
class Hooks:
    """What the surroundings want to know. All are called on every rank, except ``log`` on rank 0 alone."""

    log: Callable[[int, Values], None] = lambda step, row: None
    validate: Callable[[nn.Module], Values] | None = None  # gets the averaged network; rank 0 alone
    report: Callable[[Values], None] = lambda row: None
    should_stop: Callable[[], bool] = lambda: False


@dataclasses.dataclass(frozen=True)
class Start:
    """The batch that a fresh network is set from, on every rank its share, and how."""

    batch: Callable[[], Sequence[Tensor | None]]
    setting: Setting = initializing


@dataclasses.dataclass
class Outcome:
    """What training leaves behind."""

    network: nn.Module  # the averaged network, or the last one where nothing is averaged
    history: list[Values]
    validation: list[Values]
    skipped_steps: int
    seconds: float
    returns: list[dict[str, Any]]  # to its last good state: "step", "to" and "why" of each


class Trainer:
    """Everything that changes while training, so that one checkpoint can hold it."""

    def __init__(self, objective: Objective, plan: Plan, device: torch.device) -> None:
        self.objective, self.plan, self.device = objective.to(device), plan, device
        self.parameters = [p for p in objective.parameters() if p.requires_grad]
        self.optimizer = plan.optimizer(self.parameters, plan.learning_rate, plan.betas)
        self.average: AveragedModel | None = None
        self.health = Health()
        self.good: dict[str, Any] = {}  # the state to go back to, where that is wanted
        self.step = self.skipped = 0
        self.seconds = 0.0
        self.history: list[Values] = []
        self.validation: list[Values] = []

    def resume(self, store: CheckpointStore) -> bool:
        """Load the newest checkpoint of ``store``; return whether there was one."""
        state = store.load(self.device)
        if state is None:
            return False
        self.good = state.pop("good")
        self._load(state)
        return True

    def keep(self) -> None:
        """Keep the present state as the last good one."""
        self.good = copy.deepcopy(self._state())

    def go_back(self, why: str) -> str:
        """Return to the last good state, with a smaller learning rate from there on; return what is to be said."""
        step, seconds, health = self.step, self.seconds, self.health
        self._load(copy.deepcopy(self.good))
        health.went_back(step, self.step, why)
        self.health, self.seconds = health, seconds
        rate = health.rate(self.plan.recovery)
        return f"{self.plan.what}: {why}; back from step {step} to {self.step}, learning rate times {rate:g} from there"

    def start(self, batch: Sequence[Tensor | None], setting: Setting = initializing) -> None:
        """Set from ``batch`` what ``setting`` sets, then start the average."""
        with setting(self.objective):
            self.objective(*batch)
        self._start_average()

    def _start_average(self) -> None:
        if self.plan.ema_decay > 0:
            self.average = AveragedModel(self.objective.network, multi_avg_fn=self._blend)

    def _blend(self, averaged: Any, current: Any, count: Any) -> None:
        # A short run would otherwise stay near its first weights: the decay grows as (1 + n) / (10 + n).
        n = float(count)
        torch._foreach_lerp_(averaged, current, 1.0 - min(self.plan.ema_decay, (1 + n) / (10 + n)))

    def save(self, store: CheckpointStore) -> None:
        """Write a checkpoint to ``store`` (rank 0; all ranks hand in what is their own)."""
        state = self._state()
        if is_first():
            store.save({**state, "good": self.good})

    def _state(self) -> dict[str, Any]:
        own = {"rng": torch.get_rng_state(), "stored_layers": stored_layers(self.objective)}
        ranks: list[Any] = [own]
        if world_size() > 1:
            ranks = [None] * world_size()
            dist.all_gather_object(ranks, own)
        return {
            "objective": self.objective.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "history": self.history,
            "validation": self.validation,
            "health": dataclasses.asdict(self.health),
            "ranks": ranks,
        }

    def _load(self, state: dict[str, Any]) -> None:
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["average"] is not None:
            if self.average is None:
                self._start_average()
            self.average.load_state_dict(state["average"])  # type: ignore[union-attr]
        self.step, self.skipped, self.seconds = state["step"], state["skipped"], state["seconds"]
        self.history, self.validation = state["history"], state["validation"]
        self.health = Health(**state["health"])
        if len(state["ranks"]) == world_size():
            own = state["ranks"][rank()]
            torch.set_rng_state(own["rng"].cpu())
            load_stored_layers(self.objective, own["stored_layers"])

    @property
    def stuck(self) -> bool:
        """Return whether more steps were not finite than the plan allows."""
        return self.skipped > self.plan.nonfinite_limit

    def averaged_network(self) -> nn.Module:
        """Return the network to validate and to hand over."""
        network: nn.Module = self.average.module if self.average else self.objective.network
        return network

    def update(self, model: nn.Module, batch: Sequence[Tensor | None]) -> tuple[float, float]:
        """Take one optimizer step; return the global mean loss and the gradient norm.

        A step whose loss or gradient is not finite on any rank changes nothing and is counted; past the
        limit it raises DivergenceError, unless the training can still go back.
        """
        plan = self.plan
        rate = learning_rate_at(self.step, plan.steps, plan.learning_rate, plan.milestones, plan.warmup, plan.decay)
        rate *= self.health.rate(plan.recovery)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.objective.step = self.step
        with torch.autocast(self.device.type, torch.bfloat16, enabled=plan.precision == "bfloat16"):
            loss = model(*batch)
        loss.backward()  # averages the gradients over the ranks, so the norm is the same on all
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, plan.clip_norm or math.inf)
        value, size = float(mean_over_ranks(loss.detach().float())), float(norm)
        finite = math.isfinite(value) and math.isfinite(size)
        self.health.see_step(finite)
        if finite:
            if plan.clip_spikes is not None:
                clip_spikes(self.optimizer, plan.clip_spikes)
            self.optimizer.step()
            if self.average:
                self.average.update_parameters(self.objective.network)
        else:
            self.skipped += 1
            if self.stuck and not self.health.may_return(plan.recovery):
                raise DivergenceError(
                    f"{plan.what}: {self.skipped} steps had a non-finite loss or gradient (the last is step "
                    f"{self.step}, loss {value}, gradient norm {size}); lower the learning rate or clip_norm, "
                    f"or raise nonfinite_limit ({plan.nonfinite_limit})"
                )
        return value, size


def fit(
    objective: Objective,
    plan: Plan,
    batches: Callable[[int, int], Iterable[Sequence[Tensor | None]]],
    store: CheckpointStore,
    device: torch.device,
    hooks: Hooks,
    start: Start | None = None,
) -> Outcome:
    """Train ``objective`` (whose ``network`` is handed over) and return the outcome.

    ``batches(start, stop)`` yields the batches of these steps. Goes on from the newest checkpoint of ``store``; where
    there is none, ``start`` sets the network (None: its ActNorm layers, from the first batch).
    Raises Interrupted (after saving) when told to stop, DivergenceError past the limit, and
    ConfigError (after saving) where the first steps show that it takes longer than the plan allows.
    """
    trainer = Trainer(objective, plan, device)
    if not trainer.resume(store):
        chosen = start or Start(lambda: next(iter(batches(0, 1))))
        trainer.start(chosen.batch(), chosen.setting)
        if plan.recovery:
            trainer.keep()
    model = DistributedDataParallel(trainer.objective) if world_size() > 1 else trainer.objective
    while trainer.step < plan.steps:
        why = _advance(trainer, model, batches, store, hooks)
        if why:
            said = trainer.go_back(why)
            if is_first():
                warn(said)
                hooks.log(trainer.step, {"returns": float(len(trainer.health.returns))})
    return Outcome(
        trainer.averaged_network(),
        trainer.history,
        trainer.validation,
        trainer.skipped,
        trainer.seconds,
        trainer.health.returns,
    )


def _advance(
    trainer: Trainer,
    model: nn.Module,
    batches: Callable[[int, int], Iterable[Sequence[Tensor | None]]],
    store: CheckpointStore,
    hooks: Hooks,
) -> str:
    """Train to the last step; or until the training is to go back, and return why."""
    plan, device = trainer.plan, trainer.device
    clock = saved = time.monotonic()
    steps = range(trainer.step, plan.steps)
    began, judged = clock, trainer.step + _JUDGED_STEPS
    feed = zip(steps, batches(trainer.step, plan.steps), strict=True)
    shown = progress(feed, plan.what, plan.steps, trainer.step) if is_first() else feed
    for step, batch in shown:
        loss, norm = trainer.update(model, batch)
        trainer.step = step + 1
        now = time.monotonic()
        trainer.seconds, clock = trainer.seconds + now - clock, now
        if trainer.step % plan.log_every == 0 or trainer.step == plan.steps:
            rate = trainer.optimizer.param_groups[0]["lr"]
            row = {"step": trainer.step, "loss": loss, "learning_rate": rate, "gradient_norm": norm}
            row |= {"seconds": round(trainer.seconds, 2), "skipped_steps": trainer.skipped}
            row |= {name: float(mean_over_ranks(term.float())) for name, term in trainer.objective.terms.items()}
            trainer.history.append(row)
            if is_first():
                hooks.log(trainer.step, row)
        if trainer.step == judged:
            _check_patience(trainer, now - began, store)
        _validate(trainer, hooks)
        why = trainer.health.reason(plan.recovery, trainer.stuck, ended=trainer.step == plan.steps)
        if why:
            return why
        stop = any_rank(hooks.should_stop(), device)
        late = any_rank(now - saved >= plan.checkpoint_seconds, device)  # clocks of ranks differ: all or none
        if stop or late or trainer.step == plan.steps:
            trainer.save(store)
            saved = now
        if stop and trainer.step < plan.steps:
            raise Interrupted(f"{plan.what} is saved at step {trainer.step}; the same command goes on from there")
    return ""


def _check_patience(trainer: Trainer, seconds: float, store: CheckpointStore) -> None:
    """Raise ConfigError, after saving, if at the speed of the last steps the rest takes longer than the plan allows."""
    plan = trainer.plan
    days = seconds / _JUDGED_STEPS * (plan.steps - trainer.step) / 86_400
    if any_rank(days > plan.patience_days, trainer.device):
        trainer.save(store)
        raise ConfigError(
            f"{plan.what}: the {plan.steps - trainer.step:,} steps that are left would take {days:,.0f} days on this "
            f"machine, at {seconds / _JUDGED_STEPS:.2g} s each, and runtime.patience_days is {plan.patience_days:g}; "
            f"take fewer steps or a smaller network, or raise it (step {trainer.step} is saved)"
        )


def _validate(trainer: Trainer, hooks: Hooks) -> None:
    """Validate if it is time to; where the training is found to be well, keep its state to go back to."""
    plan = trainer.plan
    due = plan.validation_every and trainer.step % plan.validation_every == 0
    if hooks.validate is None or not (due or trainer.step == plan.steps):
        return
    averaged = last = math.nan
    if is_first():
        row = {"step": float(trainer.step), **hooks.validate(trainer.averaged_network())}
        trainer.validation.append(row)
        hooks.log(trainer.step, row)
        if plan.recovery:  # who trains without it may validate by other numbers, as studies do
            averaged = row["validation_nll"]
            # where nothing is averaged, it is the same network
            last = hooks.validate(trainer.objective.network)["validation_nll"] if trainer.average else averaged
    hooks.report(trainer.validation[-1] if trainer.validation else {})
    if plan.recovery and trainer.health.see_validation(*of_first((averaged, last), trainer.device)):
        trainer.keep()
