"""Bi-Lipschitz bounds, layer by layer and of the network, beside what is measured (paper B, Table 3, Lemmas 5, 6)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from models.flow.bijection import described
from models.flow.layers.coupling import Coupling
from pipeline.console import progress
from pipeline.stability.contract import Analysis, Found, Number
from pipeline.stability.measure.lipschitz.layers import Bounds
from pipeline.stability.measure.lipschitz.network import Gain, NetworkBounds, gain, network_bounds
from pipeline.stability.measure.lipschitz.walk import Standardization, Step
from pipeline.stability.measure.points import Point, Points
from pipeline.stability.measure.spectrum import extreme_singular_values
from pipeline.stability.subject import Subject, finite_or_none

LAYERS_TABLE = "lipschitz.csv"
_WAYS = ("forward", "inverse")
_UNBOUNDED = "no global bound: scale times x"


@dataclasses.dataclass(frozen=True)
class Lipschitz(Analysis):
    """Bounds of every layer and of the network at photographs, for the condition that each of them gives.

    ``pictures``: how many photographs; ``size``: the centre that is looked at, pixels of the picture, 0 for all of it.
    ``margin``: how much wider than what passes at the photograph the region is in which the local bounds hold.
    """

    name: ClassVar = "lipschitz"
    title: ClassVar = "Bi-Lipschitz bounds"
    cost: ClassVar = "minutes"
    numbers: ClassVar = {
        "log10_global_forward": Number("Lipschitz bound of the encoding, for every picture", "log10"),
        "log10_global_inverse": Number("Lipschitz bound of the inverse, for every latent", "log10"),
        "log10_local_forward": Number("Lipschitz bound of the encoding, around photographs", "log10"),
        "log10_local_inverse": Number("Lipschitz bound of the inverse, around photographs", "log10"),
        "log10_paper_forward": Number("The same by paper B's formulas, encoding", "log10"),
        "log10_paper_inverse": Number("The same by paper B's formulas, inverse", "log10"),
        "log10_measured_forward": Number("Largest singular value of the encoding, those photographs", "log10"),
        "log10_measured_inverse": Number("Largest singular value of the inverse, those photographs", "log10"),
        "largest_share": Number(
            "Largest share of its local bound that a coupling or a split's prior reaches", "%", "", 100.0
        ),
    }
    tables: ClassVar = {
        LAYERS_TABLE: (
            "input",
            "index",
            "layer",
            "role",
            *(f"{what}_{way}" for way in _WAYS for what in ("global", "local", "paper", "measured")),
        )
    }
    pictures: int = 1
    size: int = 64
    margin: float = 1.0

    def __post_init__(self) -> None:
        if self.pictures < 1 or self.size < 0 or not 1.0 <= self.margin < math.inf:
            raise ValueError(
                "needs pictures of 1 or more, size of 0 or more and a finite margin of 1 or more; "
                f"got {self.pictures}, {self.size} and {self.margin}"
            )

    def run(self, subject: Subject) -> Found:
        """Return log10 of the network's bounds and of what is measured, the largest over photographs.

        Global: for every input, under this condition; None where a layer has no such bound. The share is the largest
        of any layer with a net, in either direction; others reach theirs by construction.
        """
        points = Points(subject)
        rows: list[dict[str, Any]] = []
        values: dict[str, list[float]] = {name: [] for name in self.numbers}
        reasons: dict[str, str] = {}
        for point in points.photographs(self.pictures, self.size):
            bounds = network_bounds(points.network, point.x, point.condition, self.margin)
            layers = list(bounds.layers.items())
            gains = [gain(step, subject.seed) for step, _ in progress(layers, f"gain of layers, {point.name}")]
            rows += [
                _row(point, index, step, bound, own)
                for index, ((step, bound), own) in enumerate(zip(layers, gains, strict=True), 1)
            ]
            for name, (scope, field) in _SCOPES.items():
                values[name].append(bounds.log10(scope, field))
            extremes = extreme_singular_values(
                points.network, point.x, point.condition, point.z, subject.seed, what=f"singular values, {point.name}"
            )
            for way, extreme in zip(_WAYS, (extremes.largest, extremes.least.inverted()), strict=True):
                values[f"log10_measured_{way}"].append(math.log10(extreme.value) if extreme.value else math.nan)
                if extreme.reason:
                    reasons[f"log10_measured_{way}"] = extreme.reason
            values["largest_share"].append(_largest_share(bounds, gains))
        numbers = {name: _largest(each) for name, each in values.items()}
        for name, number in numbers.items():
            if number is None and name not in reasons:
                reasons[name] = _UNBOUNDED if "global" in name else "not finite, or no rule for a layer"
        reasons = {name: reason for name, reason in reasons.items() if numbers[name] is None}
        return Found(numbers, reasons, {LAYERS_TABLE: rows})


_SCOPES = {
    f"log10_{name}_{way}": (scope, prefix + way)
    for way in _WAYS
    for name, scope, prefix in (("global", "everywhere", ""), ("local", "local", ""), ("paper", "local", "paper_"))
}


def _row(point: Point, index: int, step: Step, bounds: Bounds, own: Gain) -> dict[str, Any]:
    row: dict[str, Any] = {
        "input": point.name,
        "index": index,
        "layer": described(step.layer),
        "role": step.layer.place.role if step.layer.place else type(step.layer).__name__,
    }
    for way in _WAYS:
        row |= {
            f"global_{way}": finite_or_none(getattr(bounds.everywhere, way)),
            f"local_{way}": finite_or_none(getattr(bounds.local, way)),
            f"paper_{way}": finite_or_none(getattr(bounds.local, f"paper_{way}")),
            f"measured_{way}": getattr(own, way).value,
        }
    return row


def _largest_share(bounds: NetworkBounds, gains: list[Gain]) -> float:
    shares = [
        extreme.value / getattr(bound.local, way)
        for (step, bound), own in zip(bounds.layers.items(), gains, strict=True)
        for way in _WAYS
        if isinstance(step.layer, Coupling | Standardization)
        and (extreme := getattr(own, way)).value is not None
        and math.isfinite(getattr(bound.local, way))
    ]
    return max(shares, default=math.nan)


def _largest(values: list[float]) -> float | None:
    # max() of a list with NaN depends on the order
    return finite_or_none(max(values)) if values and not any(map(math.isnan, values)) else None
