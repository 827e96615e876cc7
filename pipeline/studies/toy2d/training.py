"""Training and measuring the toy flow: all seeds of a variant at once, and what paper A looks at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from models.flow.bijection import standard_normal_log_prob
from models.flow.layers.actnorm import initializing
from models.lab.toy import POINT_CHANNELS, ToyFlow
from pipeline.seeds import generator, seed_of
from pipeline.studies.toy2d.problem import draw, shifted

TRAINING_POINTS = 100_000  # appendix A.2
# name -> factor of the learning rate, given the share of the training that is done
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}


class _Loss(nn.Module):
    def __init__(self, flow: ToyFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return -log_likelihood(self.flow, x, y).mean()


def log_likelihood(flow: ToyFlow, x: Tensor, y: Tensor) -> Tensor:
    """Return log p(x | y) of points ``(B, 2, 1, 1)``, ``(B,)``, nats."""
    z, log_det = flow(x, flow.share(y))
    return standard_normal_log_prob(z) + log_det


def learning_rates(first: float, schedule: str, iterations: int) -> list[float]:
    """Return the learning rate of every step; ``schedule`` is a name of SCHEDULES."""
    return [first * SCHEDULES[schedule](step / iterations) for step in range(iterations)]


def train(make: Callable[[], ToyFlow], seeds: Sequence[int], batch: int, rates: Iterable[float]) -> list[ToyFlow]:
    """Return one trained flow per seed, after a step of Adam (betas 0.9 and 0.999) for each learning rate.

    A seed decides the start and the batches, so variants see equal points for equal seeds. This is no trial per seed
    in the one loop of all trainings (``pipeline.training.loop``), which trains one network: nearly all the time of such
    small layers goes into starting them, and vmap starts each once for all seeds, twice as fast as one by one. A loss
    that is not finite spoils its own seed alone; an interrupted study goes on at the next variant, seconds later.
    """
    x, y = draw(TRAINING_POINTS, generator("toy2d", "training points"))
    streams = [generator("toy2d", "batches", seed) for seed in seeds]

    def batches() -> tuple[Tensor, Tensor]:
        index = torch.stack([torch.randint(len(x), (batch,), generator=stream) for stream in streams])
        return x[index], y[index]

    losses = [_Loss(_started(make, seed, *points)) for seed, *points in zip(seeds, *batches(), strict=True)]
    parameters, buffers = stack_module_state(losses)
    loss_of = vmap(lambda own, rest, *points: functional_call(losses[0], (own, rest), points))
    optimizer = torch.optim.Adam(list(parameters.values()), fused=True)  # 60 small tensors
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss_of(parameters, buffers, *batches()).sum().backward()
        optimizer.step()
    for index, loss in enumerate(losses):
        own = {name: value[index] for name, value in (parameters | buffers).items()}
        loss.load_state_dict(own)
    return [loss.flow for loss in losses]


def _started(make: Callable[[], ToyFlow], seed: int, x: Tensor, y: Tensor) -> ToyFlow:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("toy2d", "start", seed))
        flow = make()
    with initializing(flow):
        flow(x, flow.share(y))
    return flow


def latents(count: int) -> Tensor:
    """Return latents ``(count, 2, 1, 1)`` from N(0, I), the same for every flow."""
    return torch.randn(count, POINT_CHANNELS, 1, 1, generator=generator("toy2d", "latents"))


@torch.no_grad()
def sample_at(flow: ToyFlow, y: Tensor, z: Tensor) -> Tensor:
    """Return the samples for conditions y, ``(B, 2, 1, 1)``."""
    return flow.inverse(z, flow.share(y))[0]


@torch.no_grad()
def measure(flow: ToyFlow, x: Tensor, y: Tensor, z: Tensor) -> dict[str, float | None]:
    """Return what a flow does on held-out pairs and latents, all ``(B, 2, 1, 1)``; None is a value that is not finite.

    nll: nats per point. variance_ratio: of the samples for shifted conditions over those for true ones, both
    summed over the coordinates. outside: share of samples outside of [-1, 1]^2, non-finite ones included.
    reconstruction and latent_round_trip: largest absolute error of x -> z -> x on held-out pairs and of
    z -> x -> z on shifted conditions, float32.
    """
    known, unknown = flow.share(y), flow.share(shifted(y))
    inside, elsewhere = sample_at(flow, y, z), sample_at(flow, shifted(y), z)
    return {
        "nll": _finite(-log_likelihood(flow, x, y).double().mean()),
        "variance_ratio": variance_ratio(elsewhere, inside),
        "outside_in_distribution": outside(inside),
        "outside": outside(elsewhere),
        "nonfinite": nonfinite(elsewhere),
        "reconstruction": _finite((flow.inverse(flow(x, known)[0], known)[0] - x).abs().max()),
        "latent_round_trip": _finite((flow(elsewhere, unknown)[0] - z).abs().max()),
    }


def variance_ratio(unusual: Tensor, known: Tensor) -> float | None:
    """Return the variance of points over that of others, both summed over the coordinates; None: not finite."""
    return _finite(unusual.double().var(0).sum() / known.double().var(0).sum())


def outside(points: Tensor) -> float:
    """Return the share of points outside of [-1, 1]^2, non-finite ones included."""
    return float((~(points.abs() <= 1).all(1)).double().mean())


def nonfinite(points: Tensor) -> float:
    """Return the share of points that are not finite."""
    return float((~points.isfinite()).any(1).double().mean())


def _finite(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None
