"""The three flows of the checkerboard and their training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from torch import Tensor

from models.flow.bijection import Bijection, standard_normal_log_prob
from models.flow.transforms import RangedAffine
from models.lab.lipschitz import update_lipschitz
from models.lab.points import checkerboard_flow
from models.lab.residual import residual_flow_of_points
from pipeline.objective import Objective
from pipeline.seeds import generator
from pipeline.studies.checkerboard.problem import draw
from pipeline.studies.trial import Trial
from pipeline.training.loop import Plan
from pipeline.training.optimizers import adam

# name -> flow of (blocks, width, coefficient)
VARIANTS: dict[str, Callable[[int, int, float], Bijection]] = {
    "affine": lambda blocks, width, coefficient: checkerboard_flow(RangedAffine(least=0), blocks, width),
    "modified": lambda blocks, width, coefficient: checkerboard_flow(RangedAffine(), blocks, width),
    "residual": residual_flow_of_points,
}
_POWER_ITERATIONS = 5  # per step, the released code's


class Density(Objective):
    """The mean of -log p(x), nats per point. ``capped``: the network has layers whose norm must follow the weights."""

    def __init__(self, network: Bijection, capped: bool) -> None:
        super().__init__(network)
        self.capped = capped

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss of points ``(B, 2, 1, 1)``; capped layers first follow the last optimizer step."""
        if self.capped:
            update_lipschitz(self.network, _POWER_ITERATIONS, 0.0)
        z, log_det = self.network(x)
        return -(standard_normal_log_prob(z) + log_det).mean()


def train(trial: Trial, network: Bijection, plan: Plan, batch: int) -> tuple[Bijection, int]:
    """Return the trained network and how many steps were skipped as not finite; equal seeds see equal points."""

    def batches(start: int, stop: int) -> Iterator[list[Tensor]]:
        for step in range(start, stop):
            yield [draw(batch, generator("checkerboard", "batch", int(trial.tags["seed"]), step)).to(device)]

    device = trial.device()
    capped = trial.tags["variant"] == "residual"
    outcome = trial.train(Density(network, capped), plan, batches)
    trained: Bijection = outcome.network  # type: ignore[assignment]
    update_lipschitz(trained)
    return trained.eval(), outcome.skipped_steps


def plan(steps: int, learning_rate: float, weight_decay: float) -> Plan:
    """Return how a flow is trained: Adam at a constant rate; a step that is not finite is left out, up to a tenth."""
    optimizer = functools.partial(adam, weight_decay=weight_decay)
    return Plan("checkerboard", steps, learning_rate, nonfinite_limit=steps // 10, optimizer=optimizer)
