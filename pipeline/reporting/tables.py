"""The comparison of all variants as rows: of the report, of comparison.csv and of the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import Params
from pipeline.console import console, say
from pipeline.files import write_csv
from pipeline.reporting.paper_figures import PAPER_TABLES
from pipeline.reporting.results import BASELINES, TaskResults, load_results

REPORT_FILE = Path("artifacts") / "report" / "report.html"
PAPER_COLUMNS = ("paper: affine", "paper: bounded", "paper: rq_spline")  # of comparison.csv
_PERCENT = 100.0
# analysis.name -> title, unit, better, factor; what is not listed stands under its own name, without a direction
_AUDIT: dict[str, tuple[str, str, str, float]] = {
    "bad_pixels.bad_share_in_distribution": ("Bad values on photographs", "%", "lower", _PERCENT),
    "bad_pixels.bad_share_stress": ("Bad values on stress inputs", "%", "lower", _PERCENT),
    "bad_pixels.nonfinite_share_in_distribution": ("NaN or infinite values on photographs", "%", "lower", _PERCENT),
    "bad_pixels.nonfinite_share_stress": ("NaN or infinite values on stress inputs", "%", "lower", _PERCENT),
    "bad_pixels.inputs_with_bad_pixels_in_distribution": ("Photographs with bad values", "inputs", "lower", 1.0),
    "bad_pixels.inputs_with_bad_pixels_stress": ("Stress inputs with bad values", "inputs", "lower", 1.0),
    "feature_variance.largest_in_distribution": ("Largest feature variance, photographs", "", "lower", 1.0),
    "feature_variance.largest_stress": ("Largest feature variance, stress inputs", "", "lower", 1.0),
    "feature_variance.largest_ratio": ("Largest feature variance, stress / photographs", "", "lower", 1.0),
    "feature_variance.stress_inputs_with_nonfinite_features": (
        "Stress inputs with features that are not finite",
        "inputs",
        "lower",
        1.0,
    ),
    "reconstruction.image_max_abs": ("Reconstruction error of pictures, largest", "of range 1", "lower", 1.0),
    "reconstruction.image_mean_abs": ("Reconstruction error of pictures, mean", "of range 1", "lower", 1.0),
    "reconstruction.latent_max_abs_in_distribution": ("Round trip of latents, photographs", "sigma", "lower", 1.0),
    "reconstruction.latent_max_abs_stress": ("Round trip of latents, stress inputs", "sigma", "lower", 1.0),
}
# summary.json of a training -> title, unit, better
_TRAINING = {
    "validation_bits_per_dim": ("Negative log-likelihood, held-out crops", "bits/dim", "lower"),
    "bits_per_dim": ("Negative log-likelihood, training", "bits/dim", "lower"),
    "skipped_steps": ("Training steps skipped (not finite)", "steps", "lower"),
    "steps": ("Training steps", "steps", ""),
    "minutes": ("Training time", "minutes", ""),
    "parameters": ("Parameters", "", ""),
}
_MAIN = (  # of the terminal
    "lpips",
    "diversity",
    "lr_psnr_mean",
    "lr_psnr_worst",
    "errors_lr_psnr_45",
    "pixel_errors",
    "psnr",
    "gradient_ratio",
    "bad_pixels.bad_share_stress",
    "validation_bits_per_dim",
    "minutes",
)
# direction -> how far a value is from the best one
_DISTANCE: dict[str, Callable[[float], float]] = {
    "higher": lambda value: -value,
    "lower": lambda value: value,
    "target:1": lambda value: abs(value - 1.0),
}
ARROWS = {"higher": "↑", "lower": "↓", "target:1": "→ 1"}


@dataclass(frozen=True)
class Row:
    """One line of the comparison; a value that is missing is None and may have a reason."""

    task: str
    group: str
    name: str
    title: str
    unit: str
    better: str  # a key of ARROWS, or nothing
    values: dict[str, float | None]
    baseline: float | None = None
    paper: tuple[str, str, str] = ("", "", "")
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def arrow(self) -> str:
        """Return the direction of improvement as a sign."""
        return ARROWS.get(self.better, "")

    @property
    def best(self) -> set[str]:
        """Return the variants with the best value; none where all are equal or nothing is to be compared."""
        if self.better not in _DISTANCE:
            return set()
        distance = {v: _DISTANCE[self.better](x) for v, x in self.values.items() if x is not None and math.isfinite(x)}
        closest = min(distance.values(), default=0.0)
        best = {variant for variant, value in distance.items() if value == closest}
        return best if len(best) < len(distance) else set()


def comparison(root: Path, params: Params) -> list[Row]:
    """Return the rows for all tasks and variants of ``params``, in the order in which they are shown."""
    return [row for results in load_results(root, params) for row in task_rows(results)]


def task_rows(results: TaskResults) -> list[Row]:
    """Return the rows of one task: metrics of pictures, audit, training; empty if no stage has run."""
    return [*_metric_rows(results), *_audit_rows(results), *_training_rows(results)]


def write_comparison(path: Path, rows: Iterable[Row], params: Params) -> Path:
    """Write comparison.csv: one line per row, one column per variant, the paper's figures in their own."""
    variants = list(params.variants)
    columns = ["task", "profile", "group", "metric", "title", "unit", "better", *variants, "baseline", *PAPER_COLUMNS]
    lines = [
        {
            "task": row.task,
            "profile": params.profile,
            "group": row.group,
            "metric": row.name,
            "title": row.title,
            "unit": row.unit,
            "better": row.better,
            "baseline": row.baseline,
            **row.values,
            **dict(zip(PAPER_COLUMNS, row.paper, strict=True)),
        }
        for row in rows
    ]
    return write_csv(path, columns, lines)


def print_summary(root: Path, params: Params) -> None:
    """Print the variants' main figures per task, where the report is, and what to type next."""
    from rich.table import Table
    from rich.text import Text

    for results in load_results(root, params):
        rows = [row for row in task_rows(results) if row.name in _MAIN]
        if not rows:
            say(f"{results.task}: not yet run; `make repro` runs it")
            continue
        rows.sort(key=lambda row: _MAIN.index(row.name))
        table = Table(title=Text(f"{results.task}, {params.profile} profile", "bold"), title_justify="left")
        table.add_column("")
        for column in (*results.variants, BASELINES[results.kind]):
            table.add_column(Text(column), justify="right")
        for row in rows:
            values = [Text(show(value), "bold" if v in row.best else "") for v, value in row.values.items()]
            table.add_row(Text(label(row)), *values, Text(show(row.baseline)))
        console.print(table)
    report = root / REPORT_FILE
    if report.is_file():
        say(f"report:    {report}")
        say("next:      open the report in a browser; `make ui` compares the runs in MLflow")


def label(row: Row) -> str:
    """Return title, unit and direction of a row as one text."""
    return " ".join(part for part in (row.title, f"[{row.unit}]" if row.unit else "", row.arrow) if part)


def show(value: float | None) -> str:
    """Return a number as people read it: four digits, a power of ten where that is clearer; None is a dash."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 0.01 or abs(value) >= 1e5 else f"{value:.4g}"


def _metric_rows(results: TaskResults) -> list[Row]:
    from pipeline.metrics import METRICS

    found = {variant: result.evaluation or {} for variant, result in results.variants.items()}
    if not any(found.values()):
        return []
    paper = PAPER_TABLES.get(results.task)
    first = next(content for content in found.values() if content)
    counts = {"pictures": first["pictures"], "draws": first["pictures"] * first["draws"]}
    return [
        Row(
            task=results.task,
            group="Restored pictures",
            name=name,
            title=metric.title,
            unit=f"{metric.unit} of {counts[metric.unit]}" if metric.unit in counts else metric.unit,
            better=metric.better,
            values={variant: content.get("metrics", {}).get(name) for variant, content in found.items()},
            baseline=first["baseline"].get(name),
            paper=paper.rows.get(name, ("", "", "")) if paper else ("", "", ""),
            reasons=_reasons(found, name),
        )
        for name, metric in METRICS.items()
    ]


def _audit_rows(results: TaskResults) -> list[Row]:
    found: dict[str, dict[str, Any]] = {}
    for variant, result in results.variants.items():
        analyses = (result.stability or {}).get("analyses", {})
        found[variant] = {f"{analysis}.{name}": v for analysis, names in analyses.items() for name, v in names.items()}
    names = list(dict.fromkeys(name for numbers in found.values() for name in numbers))
    names.sort(key=lambda name: list(_AUDIT).index(name) if name in _AUDIT else len(_AUDIT))
    reasons = {variant: result.stability or {} for variant, result in results.variants.items()}
    rows = []
    for name in names:
        title, unit, better, factor = _AUDIT.get(name, (name.replace("_", " ").replace(".", ": "), "", "", 1.0))
        values = {variant: _scaled(numbers.get(name), factor) for variant, numbers in found.items()}
        rows.append(
            Row(results.task, "Stability audit", name, title, unit, better, values, reasons=_reasons(reasons, name))
        )
    return rows


def _training_rows(results: TaskResults) -> list[Row]:
    found = {variant: result.training or {} for variant, result in results.variants.items()}
    if not any(found.values()):
        return []
    return [
        Row(results.task, "Training", name, title, unit, better, {v: content.get(name) for v, content in found.items()})
        for name, (title, unit, better) in _TRAINING.items()
    ]


def _reasons(found: dict[str, dict[str, Any]], name: str) -> dict[str, str]:
    every = {variant: content.get("reasons", {}).get(name) for variant, content in found.items()}
    return {variant: reason for variant, reason in every.items() if reason}


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
