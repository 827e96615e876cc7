"""An evaluation in words, and under the names that MLflow shows it by."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.console import say
from pipeline.metrics.evaluate import Evaluation
from pipeline.reporting.wording import wording_of


def tracked_metrics(evaluation: Evaluation) -> dict[str, float | None]:
    """Return the metrics of the draws under their kind's group."""
    return _grouped(evaluation, evaluation.metrics)


def tracked_baseline(evaluation: Evaluation) -> dict[str, float | None]:
    """Return the metrics of the baseline, under the same names."""
    return _grouped(evaluation, evaluation.baseline)


def _grouped(evaluation: Evaluation, values: Mapping[str, float | None]) -> dict[str, float | None]:
    group = wording_of(evaluation.samples.kind).group
    return {f"{group}/{name}": value for name, value in values.items()}


def say_missing(evaluation: Evaluation, which: str = "") -> None:
    """Print, behind ``which``, which metrics have no value and why."""
    for reason, names in evaluation.missing().items():
        say(f"{which}no value for {', '.join(names)}: {reason}")


def summary_line(evaluation: Evaluation) -> str:
    """Return the main figures in a line for people."""
    found = {name: evaluation.metrics.get(name) for name in wording_of(evaluation.samples.kind).main}
    return ", ".join(f"{name} {value:.4g}" for name, value in found.items() if value is not None)
