"""The checkerboard's page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from pipeline.reporting.study_page import Agreement, Comparison, PageFigure, PageTable, StudyPage
from pipeline.studies.checkerboard.measuring import LOST
from pipeline.studies.checkerboard.problem import EXACT_NLL

Row = Mapping[str, Any]
_STEPS = 50_000  # of the released code
_APART = 2.0  # errors that differ by less are alike
_LOW = 1e-3  # errors below it are low everywhere
_PROGRESSION = ("affine", "modified", "residual")  # from the least stable one to the most stable, says the paper


def page(name: str, scale: str, iterations: int, rows: Sequence[Row]) -> StudyPage:
    """Return the page of the study ``name``, from one row of ``measure`` per variant and seed."""
    variants = dict.fromkeys(row["variant"] for row in rows)
    own = {variant: [row for row in rows if row["variant"] == variant] for variant in variants}
    return StudyPage(
        name=name,
        title="A checkerboard: where a flow stops being invertible",
        question="Paper B, 4.1.1: flows trained on a checkerboard in [-4, 4]² are inverted on [-8, 8)². Where does "
        "x -> z -> x fail, and for which couplings?",
        scale=scale,
        found=_found(own),
        tables=[_errors_table(own), _density_table(own)],
        figures=[
            PageFigure(
                "errors.png",
                "Seed 0. Above: reconstruction error over the grid, clipped to [1e-8, 1] (paper B, Fig. 2); below: "
                "condition number of the Jacobian, float64. White: the square of the data. Magenta: not finite.",
                "Maps of the reconstruction error and of the condition number per variant",
            ),
            PageFigure(
                "densities.png",
                "Seed 0. Above: log density over the grid (paper B, Fig. 8; magenta: not finite); below: samples "
                "(Fig. 3), those outside on the edge.",
                "Maps of the density and clouds of samples per variant",
            ),
        ],
        comparisons=_comparisons(own, iterations),
    )


def _found(own: Mapping[str, Sequence[Row]]) -> list[str]:
    outside = {name: _spread(rows, "outside_largest") for name, rows in own.items()}
    lost = [name for name, rows in own.items() if any(row["outside_lost"] or row["inside_lost"] for row in rows)]
    return [
        "Largest reconstruction error outside of the data's square, median over seeds [least, most]: "
        + "; ".join(f"{name} {text}" for name, text in outside.items())
        + ".",
        f"Errors above {LOST:g} or not finite were met with: {', '.join(lost)}."
        if lost
        else f"At this size no flow of any seed had an error above {LOST:g} anywhere on the grid.",
    ]


def _errors_table(own: Mapping[str, Sequence[Row]]) -> PageTable:
    keys = {
        "inside, median": "inside_median",
        "inside, largest": "inside_largest",
        "outside, median": "outside_median",
        "outside, largest": "outside_largest",
        "near jumps / elsewhere": "jump_ratio",
        "z -> x -> z, median": "latent_median",
        "z -> x -> z, largest": "latent_largest",
    }
    rows = [
        (
            name,
            *(_spread(rows, key) for key in keys.values()),
            f"{100 * _median(rows, 'outside_lost'):.2g}",
            f"{100 * _median(rows, 'latent_lost'):.2g}",
        )
        for name, rows in own.items()
    ]
    columns = ("variant", *keys, "% lost outside", "% lost of z")
    note = (
        "Errors are l2, float32; median over seeds [least, most]. Inside: [-4, 4]². Near jumps: within 0.25 of the "
        f"side of a square. Lost: above {LOST:g} or not finite."
    )
    return PageTable("Reconstruction errors", columns, rows, note)


def _density_table(own: Mapping[str, Sequence[Row]]) -> PageTable:
    keys = {
        "nll": "nll",
        "log-det off, inside": "log_det_inside",
        "log-det off, outside": "log_det_outside",
        "condition, inside": "condition_inside",
        "condition, outside": "condition_outside",
        "condition, largest": "condition_largest",
    }
    rows = [
        (
            name,
            *(_spread(rows, key) for key in keys.values()),
            f"{100 * max(row['nonfinite_density'] for row in rows):.2g}",
            sum(row["skipped_steps"] for row in rows),
        )
        for name, rows in own.items()
    ]
    note = (
        f"nll: nats per held-out point; the data's own is ln 32 = {EXACT_NLL:.3f}. Log-det off: the largest "
        "difference, in nats, between the flow's log-determinant in float32 and that of its Jacobian by autograd in "
        "float64. Condition: medians over the grid, and the largest. Median over seeds [least, most]."
    )
    columns = ("variant", *keys, "% of densities not finite, most", "skipped steps")
    return PageTable("Densities and singular values", columns, rows, note)


def _comparisons(own: Mapping[str, Sequence[Row]], iterations: int) -> list[Comparison]:
    at_size = f"trained for {iterations:,} steps of the paper's {_STEPS:,}" if iterations < _STEPS else ""
    largest = {name: _median(rows, "outside_largest") for name, rows in own.items()}
    told = {name: _spread(rows, "outside_largest") for name, rows in own.items()}
    found = []
    for name in ("affine", "modified"):
        if name in own:
            what = f"{name} coupling, reconstruction error outside of the data"
            agrees: Agreement = "yes" if largest[name] > LOST else "no"
            paper = "becomes unstable there (errors up to the clip at 1; figure)"
            found.append(Comparison("B, 4.1.1 and Fig. 2", what, paper, told[name], agrees, at_size))
    if "residual" in own:
        low = largest["residual"] <= _LOW
        what = "residual flow, reconstruction error"
        paper = "low everywhere (figure)"
        found.append(Comparison("B, 4.1.1 and Fig. 2", what, paper, told["residual"], "yes" if low else "no"))
    if all(name in own for name in _PROGRESSION):
        first, second, third = (largest[name] for name in _PROGRESSION)
        apart = [one > _APART * other for one, other in ((first, second), (second, third), (first, third))]
        agrees = "yes" if all(apart) else "partly" if any(apart) else "no"
        ours = " / ".join(told[name] for name in _PROGRESSION)
        paper = "affine least, modified more, residual flow most stable"
        found.append(Comparison("B, 4.1.1 and Fig. 2", "order of stability outside", paper, ours, agrees))
    if "affine" in own:
        ratio = _median(own["affine"], "jump_ratio")
        what = "affine coupling, error near the jumps of the density"
        paper = "larger: a slight grid-like pattern (figure)"
        ours = f"{_spread(own['affine'], 'jump_ratio')} times that elsewhere inside"
        found.append(Comparison("B, Fig. 2", what, paper, ours, "yes" if 1.1 < ratio < math.inf else "no"))
        bad = max(row["nonfinite_density"] for row in own["affine"])
        what = "affine coupling, density outside of the data"
        ours = f"{100 * bad:.2g} % of the grid not finite, worst seed"
        note = "log sigmoid is computed without underflow here; the logarithm of a scale that underflowed gives inf"
        agrees = "yes" if bad > 0 else "no"
        found.append(Comparison("B, appendix C and Fig. 8", what, "NaN in places (figure)", ours, agrees, note))
    return found


def _values(rows: Sequence[Row], key: str) -> list[float]:
    return [math.inf if row[key] is None else row[key] for row in rows]


def _median(rows: Sequence[Row], key: str) -> float:
    """Return the median over seeds; what is not finite counts as the worst."""
    return median(_values(rows, key))


def _spread(rows: Sequence[Row], key: str) -> str:
    values = _values(rows, key)
    return f"{_text(median(values))} [{_text(min(values))}, {_text(max(values))}]"


def _text(value: float) -> str:
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.3f}" if 0.1 <= abs(value) < 100 else f"{value:.1e}"
