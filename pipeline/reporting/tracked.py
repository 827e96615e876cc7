"""The report among the artifacts of every run that it is about."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Params
from pipeline.experiment import Experiment
from pipeline.reporting.report import FIGURES
from pipeline.reporting.results import load_results
from pipeline.tracking.experiments import open_experiment


def log_report(root: Path, params: Params, page: Path) -> None:
    """Log ``page``, the comparison beside it and the figures of its task to each run that has been trained."""
    every = [one for results in load_results(root, params) for one in (results, *results.repeats)]
    for results in every:
        for variant, found in results.variants.items():
            if found.run_key is None:
                continue  # not yet trained: there is no run to log to
            experiment = Experiment.of(params, results.task, results.seed, variant)
            with open_experiment(root, experiment, found.run_key, "report") as run:
                run.artifact(page, "report")
                run.artifact(page.with_name("comparison.csv"), "report")
                for figure in sorted(page.with_name(FIGURES).glob(f"{results.task}_*.png")):
                    run.image(figure, f"report/{figure.stem}")
