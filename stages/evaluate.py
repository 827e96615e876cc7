"""Measure the draws of a task x variant: metrics.json, per_picture.csv, a grid of pictures, and the same in MLflow."""

from __future__ import annotations

from pipeline.config import load_params
from pipeline.console import run_main, say
from pipeline.devices import choose_device
from pipeline.layout import project_root, variant_folder
from pipeline.metrics.evaluate import evaluate
from pipeline.reporting.grid import write_grid
from pipeline.reporting.wording import WORDING
from pipeline.tracking.identity import training_identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import open_run
from stages.arguments import parse

_GROUPS = {"super_resolution": "sr", "low_light": "low_light"}  # of metrics in MLflow


def main() -> None:
    """Read params and samples, write ``artifacts/<task>/seed<s>/<variant>/evaluation``, log it to the run."""
    arguments = parse(__doc__ or "")
    root, params = project_root(), load_params()
    task, variant, seed = arguments.task, arguments.variant, params.seed(arguments.seed)
    params.task(task)
    params.variant(variant)
    folder = variant_folder(root, task, variant, seed)
    evaluation = evaluate(folder / "samples", task, variant, choose_device(params.runtime))
    evaluation.write(folder / "evaluation")
    grid = write_grid(folder / "evaluation" / "grid.jpg", folder / "samples", evaluation.samples)
    group = _GROUPS[evaluation.samples.kind]
    identity = training_identity(task, variant, seed, evaluation.samples.run_key)
    origin = provenance(root, "evaluate", params.profile, task)
    with open_run(root, identity, params.runtime.tracking_uri, origin) as run:
        run.metrics({f"{group}/{name}": value for name, value in evaluation.metrics.items()})
        run.metrics({f"baseline/{name}": value for name, value in evaluation.baseline.items()})
        run.table("per_picture", evaluation.per_picture)
        run.artifact(folder / "evaluation", "evaluation")
        run.image(grid, "samples/grid")
    for reason, names in evaluation.missing().items():
        say(f"{task} {variant} seed {seed}: no value for {', '.join(names)}: {reason}")
    main = {name: evaluation.metrics.get(name) for name in WORDING[evaluation.samples.kind].main}
    say(
        f"{task} {variant} seed {seed}: "
        + ", ".join(f"{name} {value:.4g}" for name, value in main.items() if value is not None)
    )


if __name__ == "__main__":
    run_main(main)
