"""What is certain for every input, by construction: slopes and displacement of the couplings, size of the output."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any, ClassVar

from pipeline.stability.contract import PERCENT, Analysis, Found, Number
from pipeline.stability.measure.bounds import OutputBound, coupling_bounds, restoration_bound
from pipeline.stability.subject import Subject, finite_or_none

SHARES_TABLE = "certified_bound.csv"


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
        "draw": Number("Certified: magnitude that a draw's values hardly ever exceed (of range 1)"),
        "good_latent": Number("Certified: no value is bad for any latents within", "sigma", "higher"),
        "good_draw": Number("Certified: hardly any value of a draw is bad within", "sigma", "higher"),
        "share_<role>": Number(
            "Share in the largest magnitude, {}",
            "%",
            better="",
            factor=PERCENT,
            members={
                "latent": "coarsest latent",
                "mean": "mean of the latent",
                "coupling": "couplings",
                "noise_coupling": "noise couplings",
                "injector": "injectors",
                "split": "what left early",
                "base": "enlarged picture",
                "centre": "constants",
            },
        ),
    }
    tables: ClassVar = {SHARES_TABLE: ("layer", "role", "radius", "deviation", "coefficient", "share")}
    latent: float = 6.0  # standard deviations; a draw leaves this range once in 500 million values

    def __post_init__(self) -> None:
        if not (self.latent > 0 and math.isfinite(self.latent)):
            raise ValueError(f"latent must be a positive number of standard deviations, got {self.latent}")

    def run(self, subject: Subject) -> Found:
        """Return ``least_slope`` and ``largest_slope`` of every coupling's derivative, ``displacement`` |c(x) - x|,
        ``value``: the largest absolute value that any pixel of any output can have, ``draw``: what it exceeds once in
        250 million values at 6 standard deviations, ``good_latent`` and ``good_draw``: up to how many no value is bad,
        or hardly any of a draw, behind a shield's tails, and the shares of each role in ``value``, or in what tails
        make it of.
        """
        slopes, bound = coupling_bounds(subject.network), restoration_bound(subject.network)
        limit = self.latent * max(1.0, subject.temperature)
        numbers = {
            "least_slope": slopes.least,
            "largest_slope": slopes.largest,
            "displacement": finite_or_none(slopes.displacement),
            "value": bound.value(limit) if bound else None,
            "draw": bound.draw(limit) if bound else None,
            "good_latent": bound.good_latent() if bound else None,
            "good_draw": bound.good_draw() if bound else None,
        }
        rows = _rows(bound, limit) if bound else []
        shares: Counter[str] = Counter()
        for row in rows:
            shares[f"share_{row['role'].replace(' ', '_')}"] += row["share"]
        missing = [name for name, value in numbers.items() if value is None]
        reasons = dict.fromkeys(missing, "not ruled out at latent 0" if bound else "no bound")
        return Found(numbers | shares, reasons, {SHARES_TABLE: rows})


def _rows(bound: OutputBound, limit: float) -> list[dict[str, Any]]:
    """Return what every layer adds to the largest magnitude, before any tails, as shares, from latent to picture.

    The constants' share is negative where they hold the worst value back.
    """
    whole = bound.before_tails(limit)
    rows: list[dict[str, Any]] = [
        {
            "layer": part.layer,
            "role": part.role,
            "radius": part.radius,
            "deviation": part.deviation,
            "coefficient": part.total[bound.worst(limit)].item(),
            "share": part.reach(limit)[bound.worst(limit)].item() / whole,
        }
        for part in bound.parts
    ]
    rest = 1.0 - sum(row["share"] for row in rows)
    return [*rows, {"layer": "constants", "role": "centre", "share": rest}]
