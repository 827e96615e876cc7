"""What is certain for every input, by construction: slopes and displacement of the couplings, size of the output."""

from __future__ import annotations

import math

from pipeline.stability.analysis import Findings, Subject, finite_or_none
from pipeline.stability.bounds import amplification_bound

_LATENT = 6.0  # standard deviations; a draw leaves this range once in 500 million values


def certified_bound(subject: Subject) -> Findings:
    """Return bounds of the network at latents of up to 6 standard deviations; None where there is none.

    ``least_slope`` and ``largest_slope`` of every coupling's derivative, ``displacement`` |c(x) - x|, and
    ``value``: the largest absolute value that any pixel of any output can have.
    """
    bound = amplification_bound(subject.network, _LATENT * max(1.0, subject.temperature))
    numbers = {name: finite_or_none(value) for name, value in bound._asdict().items()}
    reasons = {name: "no bound" for name, value in bound._asdict().items() if math.isinf(value)}
    return Findings(numbers, reasons)
