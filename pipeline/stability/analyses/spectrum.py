"""Singular values of the network's Jacobian on photographs and on the worst stress inputs (paper B, section 4)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from pipeline.console import progress
from pipeline.stability.contract import Analysis, Curves, Found, Number
from pipeline.stability.measure.points import Point, Points
from pipeline.stability.measure.spectrum import Extreme, extreme_singular_values, singular_values
from pipeline.stability.subject import IN_DISTRIBUTION, Subject

EXTREMES_TABLE, VALUES_TABLE = "spectrum.csv", "singular_values.csv"
_WORST = {"largest": max, "least": min, "condition_number": max}


@dataclasses.dataclass(frozen=True)
class Spectrum(Analysis):
    """Extreme singular values of the encoding (picture to latent) by Lanczos; all those of its inverse on a small cut.

    A photograph is looked at itself, a stress input at its first draw: it has no picture of its own. ``pictures``: how
    many photographs; ``stress``: how many stress inputs, those whose draws look worst. ``size``: the centre that is
    looked at, pixels of the picture, 0 for all of it. ``exact_size``: likewise where all singular values are computed;
    0: nowhere. ``products``: at most so many with J^T J per extreme value.
    """

    name: ClassVar = "spectrum"
    title: ClassVar = "Singular values"
    cost: ClassVar = "minutes"
    numbers: ClassVar = {
        "largest_in_distribution": Number("Largest singular value of the encoding, photographs"),
        "least_in_distribution": Number("Smallest singular value of the encoding, photographs", better="higher"),
        "condition_number_in_distribution": Number("Condition number, photographs"),
        "largest_stress": Number("Largest singular value of the encoding, worst stress inputs"),
        "least_stress": Number("Smallest singular value of the encoding, worst stress inputs", better="higher"),
        "condition_number_stress": Number("Condition number, worst stress inputs"),
    }
    tables: ClassVar = {
        EXTREMES_TABLE: ("input", "kind", "quantity", "value", "low", "high", "products", "reason"),
        VALUES_TABLE: ("index", "input", "kind", "value"),
    }
    plots: ClassVar = (
        Curves(
            name="singular_values",
            caption="Singular values of the inverse's Jacobian on a small cut of each input, largest first (as in "
            "Behrmann et al., AISTATS 2021, section 4). By the first of them a change of the latent is magnified.",
            alt="Singular values of the inverse's Jacobian, largest first, one panel per variant",
            table=VALUES_TABLE,
            x="index",
            y="value",
            line="input",
            group="kind",
            x_title="index, largest first",
            y_title="singular value of the inverse",
            reference=IN_DISTRIBUTION,
            reference_title="held-out photographs",
        ),
    )
    pictures: int = 1
    stress: int = 2
    size: int = 160
    exact_size: int = 16
    products: int = 300

    def __post_init__(self) -> None:
        for name in ("pictures", "products"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("stress", "size", "exact_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")

    def run(self, subject: Subject) -> Found:
        """Return the worst of each quantity over photographs and over the worst stress inputs.

        The table has every input's with its error bar (see pipeline/stability/measure/spectrum.py for what that
        guarantees). None if it is not finite or was not found for any of the inputs.
        """
        points = Points(subject)
        rows: list[dict[str, Any]] = []
        for point in self._points(points, self.size):
            found = extreme_singular_values(
                points.network,
                point.x,
                point.condition,
                point.z,
                seed=subject.seed,
                products=self.products,
                what=f"singular values, {point.name}",
            )
            quantities = {"largest": found.largest, "least": found.least, "condition_number": found.condition_number}
            rows += [_row(point, quantity, extreme) for quantity, extreme in quantities.items()]
        numbers, reasons = _numbers(rows, bool(self.stress))
        tables = {EXTREMES_TABLE: rows, VALUES_TABLE: self._whole(points) if self.exact_size else []}
        return Found(numbers, reasons, tables)

    def _points(self, points: Points, size: int) -> list[Point]:
        return points.photographs(self.pictures, size) + points.worst_stress(self.stress, size)

    def _whole(self, points: Points) -> list[dict[str, Any]]:
        """Return all singular values of the inverse; a value that is not finite leaves a field empty."""
        rows: list[dict[str, Any]] = []
        for point in progress(self._points(points, self.exact_size), "all singular values"):
            values = singular_values(points.network, point.z, point.condition, inverse=True)
            shown = [None] * point.z.numel() if values is None else values.tolist()
            rows += [
                {"index": index, "input": point.name, "kind": point.kind, "value": value}
                for index, value in enumerate(shown, 1)
            ]
        return rows


def _row(point: Point, quantity: str, extreme: Extreme) -> dict[str, Any]:
    return {"input": point.name, "kind": point.kind, "quantity": quantity, **dataclasses.asdict(extreme)}


def _numbers(rows: Sequence[dict[str, Any]], with_stress: bool) -> tuple[dict[str, float | None], dict[str, str]]:
    numbers: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for where in (IN_DISTRIBUTION, "stress"):
        for quantity, worst in _WORST.items():
            name = f"{quantity}_{where}"
            inside = where == IN_DISTRIBUTION
            own = [r for r in rows if r["quantity"] == quantity and (r["kind"] == IN_DISTRIBUTION) == inside]
            missing = [row for row in own if row["value"] is None]
            value = None if missing else worst((row["value"] for row in own), default=math.nan)
            numbers[name] = None if value is None or math.isnan(value) else value
            if missing:
                reasons[name] = f"{missing[0]['reason']} ({len(missing)} of {len(own)} inputs)"
            elif numbers[name] is None:
                reasons[name] = "no such input" if inside or with_stress else "not asked for"
    return numbers, reasons
