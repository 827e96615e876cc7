"""The regression's model, loss and training, and what is measured along it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from models.flow.bijection import Bijection, standard_normal_log_prob
from models.flow.transforms import RangedAffine
from models.lab.points import regression_flow
from pipeline.objective import Objective
from pipeline.stability.measure.jacobian import float64_copy
from pipeline.studies.plane import plane_spectrum
from pipeline.studies.trial import Trial
from pipeline.training.loop import Outcome, Plan, Values

# Where paper and released code differ; see the study's options.
SCALES = {"paper": RangedAffine(least=0.0, most=1.0), "released": RangedAffine(least=1e-6, most=1.0 + 1e-6)}


class Regression(Objective):
    """Mean squared error, plus ``coefficient`` times the normalizing flow's loss (nats per point, 3.3.2)."""

    def __init__(self, network: Bijection, coefficient: float) -> None:
        super().__init__(network)
        self.coefficient = coefficient

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of inputs and targets ``(B, 2, 1, 1)``."""
        z, log_det = self.network(x)
        error = (z - y).square().mean()
        if not self.coefficient:
            return error
        return error - self.coefficient * (standard_normal_log_prob(z) + log_det).mean()


def train(
    trial: Trial, network: Bijection, plan: Plan, coefficient: float, points: tuple[Tensor, Tensor]
) -> tuple[Outcome, int]:
    """Return the outcome, its ``validation`` holding ``measure`` along the training; every batch is all points."""
    device = trial.device()
    x, y = (part.to(device) for part in points)

    def batches(start: int, stop: int) -> Iterator[list[Tensor]]:
        for _ in range(start, stop):
            yield [x, y]

    def validate(module: nn.Module) -> Values:
        found = measure(module, x, y)  # type: ignore[arg-type]
        return {name: value for name, value in found.items() if value is not None}

    outcome = trial.train(Regression(network, coefficient), plan, batches, validate)
    return outcome, outcome.skipped_steps


def measure(flow: Bijection, x: Tensor, y: Tensor) -> dict[str, float | None]:
    """Return mse, errors of x -> z -> x (l2, float32) and singular values at the point where they are worst.

    None for what is not finite; a point that is not finite is the worst one. ``lost``: share of points whose error is
    above 0.01 or not finite. Singular values are those of a float64 copy.
    """
    z, error, _ = round_trip(flow, x)
    worst = int(torch.where(error.isfinite(), error, math.inf).argmax())
    spectrum = plane_spectrum(float64_copy(flow), x[worst : worst + 1].double())
    values = {
        "mse": (z - y).double().square().mean(),
        "error_largest": error.max(),
        "error_mean": error.mean(),
        "lost": (~(error <= 1e-2)).double().mean(),
        "sigma_max": spectrum.largest[0],
        "sigma_min": spectrum.least[0],
        "condition": spectrum.condition[0],
    }
    return {name: float(value) if bool(value.isfinite()) else None for name, value in values.items()}


@torch.no_grad()
def round_trip(flow: Bijection, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return F(x), the l2 errors ``(B,)`` in float64, and F^-1(F(x))."""
    z = flow(x)[0]
    back = flow.inverse(z)[0]
    return z, (back.double() - x.double()).flatten(1).norm(dim=1), back


def model(steps: int, width: int, scale: str) -> Bijection:
    """Return the affine Glow of appendix F; ``scale``: a name of SCALES."""
    return regression_flow(SCALES[scale], steps, width)


def as_points(values: Tensor, count: int) -> list[list[Any]]:
    """Return the first ``count`` points as JSON values; what is not finite becomes None."""
    return [[v if math.isfinite(v) else None for v in point] for point in values[:count].flatten(1).tolist()]
