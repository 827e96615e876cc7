"""What is measured of a density: how well it is its own inverse, on pictures, on others, and on its own samples.

Errors are Euclidean norms over all values of a picture, in pictures' range of length 1, float32 as it was trained.
The paper's tables count infinite errors alone; here NaN counts as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from models.flow.bijection import Bijection, standard_normal_log_prob
from pipeline.seeds import generator
from pipeline.stability.measure.jacobian import float64_copy
from pipeline.stability.measure.spectrum import singular_values
from pipeline.studies.small_pictures import bits_per_dim

CHAINED = 9  # reconstructions of reconstructions, as in the released analysis
VISIBLE = 1 / 256  # a larger error of a value could be seen in an 8-bit picture
RELIABLE = 0.01  # bits per dimension of a sample, forward and inverse, that differ by more are not reliable
_ESTIMATES = 64  # of a random log-determinant
_CHUNK = 256


class Errors(NamedTuple):
    """Of a set of pictures. ``mean`` is over the finite ones, None where there is none; so is ``largest``."""

    mean: float | None
    largest: float | None
    nonfinite: float  # share of pictures
    pictures: int


@torch.no_grad()
def reconstruct(flow: Bijection, x: Tensor, low: float) -> Tensor:
    """Return F^-1(F(x)) of pictures ``(B, C, H, W)`` in [0, 1]; ``low`` stands for 0 in the flow's range."""
    parts = [flow.inverse(flow(chunk + low)[0])[0] - low for chunk in x.split(_CHUNK)]
    return torch.cat(parts)


def errors_of(x: Tensor, again: Tensor) -> Errors:
    """Return how far ``again`` is from ``x``, both ``(B, ...)``."""
    norms = _norms(x, again)
    finite = norms[norms.isfinite()]
    mean = float(finite.mean()) if len(finite) else None
    return Errors(mean, largest_finite(norms), _share(~norms.isfinite()), len(norms))


def worst(x: Tensor, again: Tensor) -> int:
    """Return which picture comes back worst; one that is not finite is the worst."""
    norms = _norms(x, again)
    return int(norms.where(norms.isfinite(), math.inf).argmax())


def largest_finite(values: Tensor) -> float | None:
    """Return the largest of the finite values ``(N,)``, None if there is none."""
    finite = values[values.isfinite()]
    return float(finite.max()) if len(finite) else None


def _norms(x: Tensor, again: Tensor) -> Tensor:
    return (again.double() - x.double()).flatten(1).norm(dim=1)


def chained(flow: Bijection, x: Tensor, low: float, times: int = CHAINED) -> list[float | None]:
    """Return the mean squared error of a value after 1, 2, ... reconstructions of the one before; None: not finite."""
    found: list[float | None] = []
    again = x
    for _ in range(times):
        again = reconstruct(flow, again, low)
        error = float((again.double() - x.double()).square().mean())
        found.append(error if math.isfinite(error) else None)
    return found


class Samples(NamedTuple):
    """Of samples x = F^-1(z), z ~ N(0, I).

    Shares are of all samples, but ``outside`` of all values: those more than half of the range outside of [0, 1], or
    not finite. ``latent_error``: the largest of |F(x) - z|, over the finite ones. ``unreliable``: log p(x) by forward
    and by inverse differ by more than ``RELIABLE`` bits per dimension, or are not finite; None where log p(x) is a
    random estimate. ``visible``: a value of F^-1(F(x)) differs from x by more than ``VISIBLE``, or is not finite.
    """

    nonfinite: float
    outside: float
    latent_error: float | None
    latent_nonfinite: float
    unreliable: float | None
    visible: float


@torch.no_grad()
def sample(
    flow: Bijection, shape: tuple[int, ...], low: float, random_log_det: bool, source: torch.Generator
) -> tuple[Tensor, Samples]:
    """Return samples ``(B, C, H, W)`` in pictures' range and what they say; ``shape``: of the latents."""
    z = torch.randn(shape, generator=source).to(next(flow.parameters()).device)
    x, log_det = flow.inverse(z)
    back, log_det_back = flow(x)
    error = (back - z).abs().flatten(1).amax(1)
    there, here = (
        bits_per_dim(standard_normal_log_prob(latent) + own, z[0].numel(), 1)  # a difference: no constant
        for latent, own in ((z, -log_det), (back, log_det_back))
    )
    again = flow.inverse(back)[0]
    values = x - low
    return values, Samples(
        nonfinite=_share(~x.isfinite().flatten(1).all(1)),
        outside=_share(~((values >= -0.5) & (values <= 1.5))),
        latent_error=largest_finite(error),
        latent_nonfinite=_share(~error.isfinite()),
        unreliable=None if random_log_det else _share(~((there - here).abs() <= RELIABLE)),
        visible=_share(~((again - x).abs().flatten(1).amax(1) <= VISIBLE)),
    )


class AtPoint(NamedTuple):
    """Of the whole Jacobian at one picture, in float64; None where an entry is not finite.

    ``log_det``: numeric, nats, from the singular values. ``log_det_error``: how far the analytic one is from it; of a
    flow whose own is random, its mean over ``_ESTIMATES``, and so with a ``standard_error`` (else 0).
    """

    condition_number: float | None
    smallest: float | None
    largest: float | None
    log_det: float | None
    log_det_error: float | None
    standard_error: float


def at_point(flow: Bijection, x: Tensor, low: float, random_log_det: bool) -> AtPoint:
    """Return what the Jacobian at ``x`` ``(1, C, H, W)`` in [0, 1] says of ``flow``."""
    exact = float64_copy(flow)
    point = x.double() + low
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(generator("density", "log det").initial_seed() % 2**31)
        said = torch.cat([exact(point)[1] for _ in range(_ESTIMATES if random_log_det else 1)])
    error = float(said.std() / math.sqrt(len(said))) if random_log_det else 0.0
    values = singular_values(exact, point)
    if values is None or not bool(said.isfinite().all()):
        return AtPoint(None, None, None, None, None, 0.0)
    largest, smallest = float(values[0]), float(values[-1])
    numeric = sum(math.log(value) if value > 0 else -math.inf for value in values.tolist())
    difference = abs(numeric - float(said.mean()))
    return AtPoint(
        largest / smallest if smallest > 0 else None,
        smallest,
        largest,
        numeric if math.isfinite(numeric) else None,
        difference if math.isfinite(difference) else None,
        error,
    )


def _share(wrong: Tensor) -> float:
    return float(wrong.double().mean())
