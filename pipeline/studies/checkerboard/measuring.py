"""What a trained flow of the plane is: its density, its errors there and back over a grid, its singular values."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from models.flow.bijection import Bijection, standard_normal_log_prob
from pipeline.seeds import generator
from pipeline.stability.measure.jacobian import float64_copy
from pipeline.studies.checkerboard.problem import at_jumps, draw, grid, inside
from pipeline.studies.plane import plane_spectrum

HELD_OUT = 10_000  # points of the data; as many latents
SAMPLES = 3000  # that are drawn in the figure
LOST = 1e-2  # an error above it is lost: seen in a picture
_AT_ONCE = 4096  # points whose Jacobians are taken together

Found = dict[str, Any]


def measure(flow: Bijection, side: int, pictures: bool) -> Found:
    """Return the numbers of a trained flow, None where one is not finite; with ``pictures`` also values over the grid.

    Errors are l2, of float32 arithmetic. ``nll``: nats per held-out point. Of x -> z -> x over the grid, ``inside`` the
    data's square and ``outside``: median, largest, and share above LOST or not finite; ``jump_ratio``: median error
    near the jumps of the density over the median elsewhere inside. Of z -> x -> z for z from N(0, I): ``latent_*``.
    ``log_det_*``: |float32 log-determinant - log |det| of the float64 Jacobian by autograd|, nats. ``condition_*``:
    medians and the largest condition number. ``nonfinite_density``: share of the grid, outside.
    """
    device = next(flow.parameters()).device
    x = grid(side).to(device)
    within = inside(x)
    there, log_det, error = _round_trip(flow, x)
    density = standard_normal_log_prob(there) + log_det
    spectrum = _spectrum(flow, x)
    held_out = draw(HELD_OUT, generator("checkerboard", "held out")).to(device)
    z = torch.randn(HELD_OUT, 2, 1, 1, generator=generator("checkerboard", "latents")).to(device)
    samples, latent_error = _there_and_back(flow, z)
    jumps = at_jumps(x)
    off = _worst((log_det.double() - spectrum["numeric"]).abs())
    found: Found = {
        "nll": _number(-_log_prob(flow, held_out).double().mean()),
        **_errors("inside", error[within]),
        **_errors("outside", error[~within]),
        "jump_ratio": _ratio(error[jumps].median(), error[within & ~jumps].median()),
        **_errors("latent", latent_error),
        "log_det_inside": _number(off[within].max()),
        "log_det_outside": _number(off[~within].max()),
        "condition_inside": _number(spectrum["condition"][within].median()),
        "condition_outside": _number(spectrum["condition"][~within].median()),
        "condition_largest": _number(spectrum["condition"].max()),
        "nonfinite_density": float((~density[~within].isfinite()).double().mean()),
    }
    if pictures:
        maps = {"error": error, "density": density, "condition": spectrum["condition"]}
        found["maps"] = {name: [_number(value) for value in values] for name, values in maps.items()}
        found["samples"] = [[_number(v) for v in point] for point in samples[:SAMPLES].flatten(1)]
    return found


@torch.no_grad()
def _round_trip(flow: Bijection, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return z, log_det, and |x - F^-1(F(x))|."""
    z, log_det = flow(x)
    return z, log_det, _distance(flow.inverse(z)[0], x)


@torch.no_grad()
def _there_and_back(flow: Bijection, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the samples of latents, and |z - F(F^-1(z))|."""
    x = flow.inverse(z)[0]
    return x, _distance(flow(x)[0], z)


@torch.no_grad()
def _log_prob(flow: Bijection, x: Tensor) -> Tensor:
    z, log_det = flow(x)
    return standard_normal_log_prob(z) + log_det


def _spectrum(flow: Bijection, x: Tensor) -> dict[str, Tensor]:
    exact = float64_copy(flow)
    parts = [plane_spectrum(exact, part) for part in x.double().split(_AT_ONCE)]
    return {
        "condition": _worst(torch.cat([part.condition for part in parts])),
        "numeric": torch.cat([part.numeric_log_det for part in parts]),
    }


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return _worst((a.double() - b.double()).flatten(1).norm(dim=1))


def _worst(values: Tensor) -> Tensor:
    """Return the values, inf for those that are not finite, so that medians count them as the worst."""
    return torch.where(values.isfinite(), values, math.inf)


def _errors(name: str, error: Tensor) -> Found:
    return {
        f"{name}_median": _number(error.median()),
        f"{name}_largest": _number(error.max()),
        f"{name}_lost": float((~(error <= LOST)).double().mean()),
    }


def _ratio(above: Tensor, below: Tensor) -> float | None:
    return _number(above / below)


def _number(value: Tensor) -> float | None:
    return float(value) if math.isfinite(value) else None
