"""Human errors in MLflow: numbers of the run of each variant that was rated."""

from __future__ import annotations

from pathlib import Path

from pipeline.experiment import Experiment
from pipeline.files import read_json
from pipeline.layout import variant_folder
from pipeline.model_folder import CONFIG
from pipeline.params import load_params
from pipeline.ratings.importing import Imported
from pipeline.tracking.experiments import open_experiment


def log_ratings(root: Path, found: Imported) -> None:
    """Log counts and agreement to the run of every variant whose model has left its key."""
    params = load_params(root / "params.yaml")
    for variant, content in found.variants.items():
        config = variant_folder(root, found.task, variant, found.seed) / "model" / CONFIG
        if not config.is_file():
            continue  # not made here: there is no run to log to
        experiment = Experiment.of(params, found.task, found.seed, variant)
        with open_experiment(root, experiment, read_json(config)["run_key"], "ratings") as run:
            numbers = {name: content[name] for name in ("human_errors", "pictures", "raters")}
            agreement = {name: content[name]["value"] for name in ("fleiss_kappa", "krippendorff_alpha")}
            run.metrics({f"ratings/{name}": value for name, value in {**numbers, **agreement}.items()})
            run.table("ratings", content["restorations"])
