"""The regression's page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from pipeline.reporting.study_page import Agreement, Comparison, PageFigure, PageTable, StudyPage

Row = Mapping[str, Any]
_STEPS = 40_000  # appendix F
_COLUMNS = {
    "mean squared error": "mse",
    "largest error": "error_largest",
    "mean error": "error_mean",
    "σ max": "sigma_max",
    "σ min": "sigma_min",
    "condition": "condition",
}


def named(coefficient: float) -> str:
    """Return how people call a coefficient of the normalizing flow's loss."""
    return f"with {coefficient:g} x NF loss" if coefficient else "unregularized"


def page(name: str, scale: str, iterations: int, rows: Sequence[Row]) -> StudyPage:
    """Return the page of the study ``name``, from one row per coefficient and seed."""
    coefficients = dict.fromkeys(row["coefficient"] for row in rows)
    own = {value: [row for row in rows if row["coefficient"] == value] for value in coefficients}
    table = [
        (
            named(value),
            *(_spread(found, key) for key in _COLUMNS.values()),
            f"{100 * median(_values(found, 'lost')):.2g}",
            sum(row["skipped_steps"] for row in found),
        )
        for value, found in own.items()
    ]
    columns = ("model", *_COLUMNS, "% of points lost", "skipped steps")
    note = (
        "Errors are l2 of x -> z -> x over the training points, float32; singular values are at the worst "
        "reconstructed point, float64. Lost: an error above 0.01 or not finite. Median over seeds [least, most] "
        "at the last step."
    )
    return StudyPage(
        name=name,
        title="Regression onto a line: an inverse that training wears out",
        question="Paper B, 4.2: an affine Glow learns y = (almost 0, x₂). Nothing in the squared error keeps it "
        "invertible; does a little of the normalizing flow's loss?",
        scale=scale,
        found=_found(own),
        tables=[PageTable("At the end of training", columns, table, note)],
        figures=[
            PageFigure(
                "training.png",
                "Along training (paper B, Fig. 13): median over seeds, and all seeds as a band. A band "
                "ends where one of its seeds is not finite, a line where half of them are not.",
                "Squared error, reconstruction error and condition number against the step, per model",
            ),
            PageFigure(
                "points.png",
                "Seed 0 (paper B, Fig. 6). Above: points and what came back; those beyond 5 stand on the edge. Below: "
                "the outputs, whose first coordinate should be 0.",
                "Clouds of points and of their reconstructions per model",
            ),
        ],
        comparisons=_comparisons(own, iterations),
    )


def _found(own: Mapping[float, Sequence[Row]]) -> list[str]:
    return [
        f"{named(value)}: mean squared error {_spread(rows, 'mse')}, largest reconstruction error "
        f"{_spread(rows, 'error_largest')}, condition number {_spread(rows, 'condition')}."
        for value, rows in own.items()
    ]


def _comparisons(own: Mapping[float, Sequence[Row]], iterations: int) -> list[Comparison]:
    at_size = f"trained for {iterations:,} steps of the paper's {_STEPS:,}" if iterations < _STEPS else ""
    regularized = [value for value in own if value]
    found = []
    if 0.0 in own:
        bad = median(_values(own[0.0], "error_largest"))
        agrees: Agreement = "yes" if bad > 1 else "partly" if bad > 1e-2 else "no"
        what = "unregularized: reconstructions far from the data"
        ours = f"largest error {_spread(own[0.0], 'error_largest')}"
        found.append(
            Comparison("B, 4.2 and Fig. 6", what, "the model becomes non-invertible (figure)", ours, agrees, at_size)
        )
    for value in regularized:
        what = f"{named(value)}: invertible"
        worst = median(_values(own[value], "error_largest"))
        ours = f"largest error {_spread(own[value], 'error_largest')}"
        agrees = "yes" if worst < 1e-1 else "no"
        found.append(Comparison("B, 4.2 and Fig. 6", what, "stabilized (figure, at 1e-8)", ours, agrees, at_size))
    for value in regularized if 0.0 in own else []:
        for key, what, decades in (("error_largest", "reconstruction error", 4), ("condition", "condition number", 6)):
            gain = _decades(own[0.0], own[value], key)
            agrees = "yes" if gain >= decades else "partly" if gain >= 1 else "no"
            paper = f"{'more than ' if decades == 4 else ''}{decades} orders of magnitude smaller"
            told = f"{what}, {named(value)} against unregularized"
            ours = "not finite" if math.isnan(gain) else f"{gain:.1f} orders smaller"
            found.append(Comparison("B, appendix F and Fig. 13", told, paper, ours, agrees, at_size))
        plain, own_mse = (median(_values(own[one], "mse")) for one in (0.0, value))
        ours = f"{own_mse:.1e} against {plain:.1e}"
        agrees = "yes" if own_mse < 2 * plain else "partly" if own_mse < 1e-3 else "no"
        told = f"mean squared error, {named(value)} against unregularized"
        found.append(Comparison("B, appendix F and Fig. 13", told, "still low", ours, agrees, at_size))
    return found


def _decades(plain: Sequence[Row], regularized: Sequence[Row], key: str) -> float:
    """Return by how many orders of magnitude the median is smaller; inf where the plain one is not finite."""
    above, below = (median(_values(rows, key)) for rows in (plain, regularized))
    if not math.isfinite(below):
        return math.nan
    return math.log10(above / below) if math.isfinite(above) and below > 0 else math.inf


def _values(rows: Sequence[Row], key: str) -> list[float]:
    return [math.inf if row[key] is None else row[key] for row in rows]


def _spread(rows: Sequence[Row], key: str) -> str:
    values = _values(rows, key)
    return f"{_text(median(values))} [{_text(min(values))}, {_text(max(values))}]"


def _text(value: float) -> str:
    return f"{value:.1e}" if math.isfinite(value) else "not finite"
