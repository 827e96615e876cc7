"""The flows that are compared, and how they are trained: by the one loop of all trainings.

Where paper B's text and its released code differ, the text is followed:

| | text | code, as |
|---|---|---|
| affine coupling | x * sigmoid + t (eq. 4): ``affine`` | (x + t) * (sigmoid + 0.01): ``affine_released`` |
| its modified scale | in (0.5, 1) | not released for Glow |
| gradients that are not finite | not told | set to 0; here the step is left out, and counted |
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.flow.bijection import Bijection, standard_normal_log_prob
from models.flow.transforms import Transform
from models.flow.transforms.additive import Additive
from models.flow.transforms.ranged_affine import RangedAffine
from models.lab.glow import Glow
from models.lab.lipschitz import update_lipschitz
from models.lab.log_det import Roulette
from models.lab.residual import residual_flow
from pipeline.objective import Objective
from pipeline.seeds import generator
from pipeline.studies.density.options import DensityOptions
from pipeline.studies.small_pictures import Pictures, bits_per_dim, dequantize
from pipeline.training.loop import Plan
from pipeline.training.optimizers import OptimizerFactory, adam

_ITERATIONS = 5  # of power iteration after a step, as in Residual Flows
_CHUNK = 256  # pictures at a time where nothing is trained
_LEFT_OUT = 0.1  # of the steps may have been without a finite gradient


class Kind(NamedTuple):
    """A kind of flow. ``low``: what stands for 0 in its range of values, which has length 1."""

    low: float
    build: Callable[[DensityOptions, tuple[int, int, int]], Bijection]
    plan: Callable[[DensityOptions, str], Plan]


class NegativeLogLikelihood(Objective):
    """-log p(x) in nats, summed over the picture's values, mean over the batch; x ``(B, C, H, W)`` in [0, 1).

    Capped convolutions, if there are any, first follow their weights.
    """

    def __init__(self, network: Bijection, low: float) -> None:
        super().__init__(network)
        self.low = low

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        update_lipschitz(self.network, _ITERATIONS)
        z, log_det = self.network(x + self.low)
        return -(standard_normal_log_prob(z) + log_det).mean()


def _glow(transform: Transform, study: DensityOptions, shape: tuple[int, int, int]) -> Bijection:
    return Glow(transform, study.levels, study.blocks, study.hidden, study.permutation, shape[0])


def _residual(study: DensityOptions, shape: tuple[int, int, int]) -> Bijection:
    channels, height, width = shape
    return residual_flow(
        channels,
        (height, width),
        study.levels,
        study.residual_blocks,
        study.residual_hidden,
        coefficient=0.98,  # E.1
        log_det=Roulette(study.exact_terms),
        logit=0.05,  # the released code's
    )


def _adamax(weight_decay: float) -> OptimizerFactory:
    def make(
        parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float]
    ) -> torch.optim.Optimizer:
        return torch.optim.Adamax(parameters, lr=learning_rate, betas=betas, weight_decay=weight_decay)

    return make


def _plan_of_glow(study: DensityOptions, what: str) -> Plan:
    optimizer = _adamax(study.weight_decay)
    limit = int(_LEFT_OUT * study.steps)
    return Plan(what, study.steps, study.learning_rate, warmup=study.warmup, nonfinite_limit=limit, optimizer=optimizer)


def _plan_of_residual(study: DensityOptions, what: str) -> Plan:
    steps = study.residual_steps
    return Plan(
        what,
        steps,
        study.residual_learning_rate,
        warmup=min(study.warmup, steps),
        clip_norm=study.residual_clip_norm,
        nonfinite_limit=int(_LEFT_OUT * steps),
        optimizer=adam,
    )


# Glow's couplings
GLOWS: dict[str, Transform] = {
    "additive": Additive(),  # eq. 3
    "affine": RangedAffine(least=0.0),  # eq. 4
    "modified_affine": RangedAffine(),
    "affine_released": RangedAffine(least=0.01, most=1.01, shift_first=True),
}
VARIANTS: dict[str, Kind] = {
    **{name: Kind(-0.5, functools.partial(_glow, transform), _plan_of_glow) for name, transform in GLOWS.items()},
    "residual": Kind(0.0, _residual, _plan_of_residual),
}


def batches(
    pictures: Pictures, batch: int, seed: int, augment: bool, device: torch.device
) -> Callable[[int, int], Iterator[tuple[Tensor]]]:
    """Return (start, stop) -> the batches of these steps, ``(batch, C, H, W)`` in [0, 1); a step decides its own.

    ``augment``: flipped left to right half of the time, and moved by up to a tenth of the side, zeros behind, as D says
    (digits would be other signs then).
    """

    def of(start: int, stop: int) -> Iterator[tuple[Tensor]]:
        for step in range(start, stop):
            source = generator("density", "batch", seed, step)
            chosen = pictures.train[torch.randint(len(pictures.train), (batch,), generator=source)]
            if augment:
                chosen = torch.stack([_moved(picture, source) for picture in chosen])
            yield (dequantize(chosen, pictures.levels, source).to(device),)

    return of


def _moved(picture: Tensor, source: torch.Generator) -> Tensor:
    height, width = picture.shape[1:]
    if torch.rand((), generator=source) < 0.5:
        picture = picture.flip(2)
    reach_down, reach_right = height // 10, width // 10
    down = int(torch.randint(-reach_down, reach_down + 1, (), generator=source))
    right = int(torch.randint(-reach_right, reach_right + 1, (), generator=source))
    found = torch.zeros_like(picture)
    found[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = picture[
        :, max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return found


@torch.no_grad()
def log_likelihood(flow: Bijection, x: Tensor, low: float) -> Tensor:
    """Return log p(x) ``(B,)`` in nats of pictures ``(B, C, H, W)`` in [0, 1)."""
    parts = []
    for chunk in x.split(_CHUNK):
        z, log_det = flow(chunk + low)
        parts.append(standard_normal_log_prob(z) + log_det)
    return torch.cat(parts)


def mean_bits_per_dim(flow: Bijection, x: Tensor, low: float, levels: int) -> float:
    """Return the mean of bits per dimension over pictures ``(B, C, H, W)`` in [0, 1); may be NaN or infinite."""
    return float(bits_per_dim(log_likelihood(flow, x, low), x[0].numel(), levels).mean())
