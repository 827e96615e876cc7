"""Reconstruction error in float32: how far is a network from being its own inverse?"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from pipeline.console import progress
from pipeline.stability.contract import Analysis, Found, Number
from pipeline.stability.subject import IN_DISTRIBUTION, Subject, finite_or_none


@dataclasses.dataclass(frozen=True)
class Reconstruction(Analysis):
    """Errors of x -> z -> x on held-out pictures and of z -> x -> z for every condition."""

    name: ClassVar = "reconstruction"
    title: ClassVar = "Reconstruction error"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "image_max_abs": Number("Reconstruction error of pictures, largest", "of range 1"),
        "image_mean_abs": Number("Reconstruction error of pictures, mean", "of range 1"),
        "latent_max_abs_in_distribution": Number("Round trip of latents, photographs", "sigma"),
        "latent_max_abs_stress": Number("Round trip of latents, stress inputs", "sigma"),
    }

    @torch.no_grad()
    def run(self, subject: Subject) -> Found:
        """Return image errors in pixel values ([0, 1] is the range of a picture) and latent errors in units of the
        prior's standard deviation. The largest over all inputs; None where a value is not finite.
        """
        network = subject.network
        image_errors, latent_errors = [], {IN_DISTRIBUTION: [0.0], "stress": [0.0]}
        for _, target, seen in subject.pictures:
            condition = network.share(seen)
            z, _ = network(target, condition)
            x, _ = network.inverse(z, condition)
            image_errors.append((x - target).abs().flatten())
        for where, _, name, seen in progress(subject.inputs(), "reconstruction error"):
            padded, condition = subject.condition(seen)
            z = subject.latents(padded, name)[:1]
            x, _ = network.inverse(z, condition)
            again, _ = network(x, condition)
            latent_errors[IN_DISTRIBUTION if where == IN_DISTRIBUTION else "stress"].append(
                float((again - z).abs().max())
            )
        errors = torch.cat(image_errors)
        numbers = {
            "image_max_abs": finite_or_none(float(errors.max())),
            "image_mean_abs": finite_or_none(float(errors.mean())),
            "latent_max_abs_in_distribution": _largest(latent_errors[IN_DISTRIBUTION]),
            "latent_max_abs_stress": _largest(latent_errors["stress"]),
        }
        reasons = {name: "a value was not finite" for name, value in numbers.items() if value is None}
        return Found(numbers, reasons)


def _largest(values: list[float]) -> float | None:
    # max() of a list with NaN depends on the order; the tensor's does not
    return finite_or_none(float(torch.tensor(values, dtype=torch.float64).max()))
