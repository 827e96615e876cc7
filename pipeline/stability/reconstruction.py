"""Reconstruction error in float32: how far is a network from being its own inverse?"""

from __future__ import annotations

import torch

from pipeline.console import progress
from pipeline.stability.analysis import Findings, Subject, finite_or_none


@torch.no_grad()
def reconstruction(subject: Subject) -> Findings:
    """Return errors of x -> z -> x on held-out pictures and of z -> x -> z for every condition.

    Image errors are in pixel values ([0, 1] is the range of a picture), latent errors in units of the
    prior's standard deviation. The largest over all inputs; None where a value is not finite.
    """
    network = subject.network
    image_errors, latent_errors = [], {"in_distribution": [0.0], "stress": [0.0]}
    for _, hr, lr in subject.pictures:
        condition = network.share(lr)
        z, _ = network(hr, condition)
        x, _ = network.inverse(z, condition)
        image_errors.append((x - hr).abs().flatten())
    for name, key, lr in progress(subject.inputs(), "reconstruction error"):
        padded, condition = subject.condition(lr)
        z = subject.latents(padded, key)[:1]
        x, _ = network.inverse(z, condition)
        again, _ = network(x, condition)
        where = "in_distribution" if name == "in_distribution" else "stress"
        latent_errors[where].append(float((again - z).abs().max()))
    errors = torch.cat(image_errors)
    numbers = {
        "image_max_abs": finite_or_none(float(errors.max())),
        "image_mean_abs": finite_or_none(float(errors.mean())),
        "latent_max_abs_in_distribution": _largest(latent_errors["in_distribution"]),
        "latent_max_abs_stress": _largest(latent_errors["stress"]),
    }
    reasons = {name: "a value was not finite" for name, value in numbers.items() if value is None}
    return Findings(numbers, reasons)


def _largest(values: list[float]) -> float | None:
    # max() of a list with NaN depends on the order; the tensor's does not
    return finite_or_none(float(torch.tensor(values, dtype=torch.float64).max()))
