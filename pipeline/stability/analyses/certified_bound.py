"""What is certain for every input, by construction: slopes and displacement of the couplings, size of the output."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from pipeline.stability.contract import Analysis, Found, Number
from pipeline.stability.measure.bounds import amplification_bound
from pipeline.stability.subject import Subject, finite_or_none


@dataclasses.dataclass(frozen=True)
class CertifiedBound(Analysis):
    """Bounds of the network at latents of up to ``latent`` standard deviations; None where there is none."""

    name: ClassVar = "certified_bound"
    title: ClassVar = "Certified bounds"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "least_slope": Number("Certified for every input: least slope of a coupling", better="higher"),
        "largest_slope": Number("Certified: largest slope of a coupling"),
        "displacement": Number("Certified: largest shift by a coupling"),
        "value": Number("Certified: largest magnitude of any output value (of range 1)"),
    }
    latent: float = 6.0  # standard deviations; a draw leaves this range once in 500 million values

    def __post_init__(self) -> None:
        if not (self.latent > 0 and math.isfinite(self.latent)):
            raise ValueError(f"latent must be a positive number of standard deviations, got {self.latent}")

    def run(self, subject: Subject) -> Found:
        """Return ``least_slope`` and ``largest_slope`` of every coupling's derivative, ``displacement`` |c(x) - x|,
        and ``value``: the largest absolute value that any pixel of any output can have.
        """
        bound = amplification_bound(subject.network, self.latent * max(1.0, subject.temperature))
        numbers = {name: finite_or_none(value) for name, value in bound._asdict().items()}
        reasons = {name: "no bound" for name, value in numbers.items() if value is None}
        return Found(numbers, reasons)
