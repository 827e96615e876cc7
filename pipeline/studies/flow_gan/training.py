"""Training a flow against a discriminator: a loop of its own.

The loop of all other trainings (pipeline/training/loop.py) minimizes one loss by one optimizer. Here two networks take
turns, each with an optimizer of its own, and the loss of one depends on the other; that loop would have to know of
both, for this study alone. Like it, this one goes on from its checkpoint bit for bit: a step draws what it needs from
streams named by the step.

    discriminator: BCE(D(x), 1) + BCE(D(G(z)), 0) + penalty * gradient penalty
    generator:     adversarial * BCE(D(G(z)), 1) + likelihood * (-log p(x)),   G = F^-1

-log p(x) is in nats, summed over the picture's values. Noise of a level's width is added to data and to samples alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from models.flow.bijection import Bijection, standard_normal_log_prob
from pipeline.console import progress
from pipeline.errors import Interrupted
from pipeline.seeds import generator
from pipeline.studies.flow_gan.discriminator import gradient_penalty
from pipeline.studies.flow_gan.options import FlowGanOptions
from pipeline.studies.small_pictures import Pictures, dequantize
from pipeline.studies.trial import Trial
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.stopping import stop_requests

BETAS = (0.5, 0.99)  # Table 12
LOW = -0.5  # what stands for 0 in the flow's range
Row = dict[str, float | None]


class Weights(NamedTuple):
    """Of the generator's two losses."""

    adversarial: float
    likelihood: float


class Players:
    """Flow, discriminator and their optimizers; what a checkpoint holds."""

    def __init__(self, flow: Bijection, judge: nn.Module, study: FlowGanOptions) -> None:
        self.flow, self.judge = flow, judge
        self.of_flow = torch.optim.Adam(flow.parameters(), lr=study.learning_rate, betas=BETAS)
        self.of_judge = torch.optim.Adam(judge.parameters(), lr=study.judge_learning_rate, betas=BETAS)
        self.step = self.skipped = 0
        self.rows: list[Row] = []

    def state(self) -> dict[str, Any]:
        """Return everything that changes while training."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {**parts, "step": self.step, "skipped": self.skipped, "rows": self.rows}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go back to what ``state`` returned."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step, self.skipped, self.rows = state["step"], state["skipped"], state["rows"]

    def _parts(self) -> dict[str, Any]:
        return {"flow": self.flow, "judge": self.judge, "of_flow": self.of_flow, "of_judge": self.of_judge}


def train(
    trial: Trial,
    study: FlowGanOptions,
    players: Players,
    pictures: Pictures,
    weights: Weights,
    watch: Callable[[Bijection], Row],
) -> Players:
    """Train for ``study.steps`` steps; ``watch`` is asked before the first and ``study.watched`` times after it.

    A step whose gradients are not finite changes neither network, and is counted. Raises Interrupted after saving.
    """
    device, store = trial.device(), CheckpointStore(trial.folder)
    state = store.load(device)
    if state is not None:
        players.load(state)
    every = max(1, study.steps // study.watched)
    saved = time.monotonic()
    with stop_requests() as should_stop:
        for step in progress(range(players.step, study.steps), trial.name, study.steps, players.step):
            if step == 0:
                _tell(trial, players, watch)
            _step(players, study, pictures, weights, generator("flow_gan", int(trial.tags["seed"]), step), device)
            players.step = step + 1
            if players.step % every == 0 or players.step == study.steps:
                _tell(trial, players, watch)
            stop = should_stop()
            if stop or time.monotonic() - saved >= trial.runtime.checkpoint_seconds:
                store.save(players.state())
                saved = time.monotonic()
            if stop and players.step < study.steps:
                raise Interrupted(f"{trial.name} is saved at step {players.step}; the same command goes on from there")
    return players


def _tell(trial: Trial, players: Players, watch: Callable[[Bijection], Row]) -> None:
    row = watch(players.flow)
    players.rows.append({"step": players.step, "skipped_steps": players.skipped, **row})
    trial.run.metrics({f"train/{name}": value for name, value in row.items()}, step=players.step)


def _step(
    players: Players,
    study: FlowGanOptions,
    pictures: Pictures,
    weights: Weights,
    source: torch.Generator,
    device: torch.device,
) -> None:
    flow, judge, levels = players.flow, players.judge, pictures.levels
    chosen = pictures.train[torch.randint(len(pictures.train), (study.batch,), generator=source)]
    real = dequantize(chosen, levels, source).to(device) + LOW
    z = torch.randn(study.batch, *study.latent_shape(pictures.shape), generator=source).to(device)
    noise = ((torch.rand(real.shape, generator=source) - 0.5) / levels).to(device)
    shares = torch.rand(study.batch, generator=source).to(device)
    loss = real.new_zeros(())
    if weights.adversarial:
        fake = flow.inverse(z)[0] + noise
        _update(players, players.of_judge, judge, _judged(judge, real, fake.detach(), study.penalty, shares))
        loss = weights.adversarial * softplus(-judge(fake)).mean()  # BCE against "is data"
    if weights.likelihood:
        found, log_det = flow(real)
        loss = loss - weights.likelihood * (standard_normal_log_prob(found) + log_det).mean()
    _update(players, players.of_flow, flow, loss)


def _judged(judge: nn.Module, real: Tensor, fake: Tensor, penalty: float, shares: Tensor) -> Tensor:
    both = torch.cat([judge(real), judge(fake)])
    wanted = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).to(both)
    told = 2 * binary_cross_entropy_with_logits(both, wanted)
    return told + penalty * gradient_penalty(judge, real, fake, shares)


def _update(players: Players, optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
    if math.isfinite(float(norm)):
        optimizer.step()
    else:
        players.skipped += 1
