"""Measure the draws of a task x variant: metrics.json, per_picture.csv, a grid of pictures, and the same in MLflow."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.devices import choose_device
from pipeline.layout import variant_folder
from pipeline.metrics.evaluate import evaluate
from pipeline.reporting.evaluated import say_missing, summary_line, tracked_baseline, tracked_metrics
from pipeline.reporting.grid import write_grid, write_rows
from pipeline.tracking.experiments import open_baseline, open_experiment
from stages.arguments import chosen


def main() -> None:
    """Measure the samples, write ``artifacts/<task>/seed<s>/<variant>/evaluation``, log it to the run."""
    root, experiment = chosen(__doc__ or "")
    folder = variant_folder(root, experiment.task, experiment.variant, experiment.seed)
    evaluation = evaluate(folder / "samples", experiment.task, experiment.variant, choose_device(experiment.runtime))
    evaluation.write(folder / "evaluation")
    grid = write_grid(folder / "evaluation" / "grid.jpg", folder / "samples", evaluation.samples)
    rows = write_rows(folder / "evaluation" / "pictures", folder / "samples", evaluation.samples)
    with open_experiment(root, experiment, evaluation.samples.run_key, "evaluate") as run:
        run.metrics(tracked_metrics(evaluation))
        run.table("per_picture", evaluation.per_picture)
        run.artifact(folder / "evaluation", "evaluation")
        run.image(grid, "samples/grid")
        run.images(rows, "samples/picture")
    with open_baseline(root, experiment) as run:
        run.metrics(tracked_baseline(evaluation))
    say_missing(evaluation, f"{experiment.name}: ")
    say(f"{experiment.name}: {summary_line(evaluation)}")


if __name__ == "__main__":
    run_main(main)
