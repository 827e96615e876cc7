"""The model folder of a shielded variant of params.yaml, made of the variant that was trained (docs/shield.md)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipeline.config import PARAMS_FILE
from pipeline.dependencies import settings_of
from pipeline.devices import choose_device
from pipeline.errors import DataError, SteadyflowError
from pipeline.experiment import Experiment
from pipeline.layout import manifest_path, variant_folder
from pipeline.model_folder import WEIGHTS, LoadedFlow, load_flow, save_model
from pipeline.shielding.calibration import shield_flow
from pipeline.shielding.crops import prepared_crops
from pipeline.tracking.experiments import open_experiment
from pipeline.training.run_key import run_key


def shield_variant(root: Path, experiment: Experiment) -> LoadedFlow:
    """Write ``artifacts/<task>/seed<s>/<variant>/model`` and track it as a run; return the shielded flow.

    It is calibrated on crops of the task's training pictures. Raises SteadyflowError for a variant without a shield
    and for a flow that cannot be shielded, CheckpointError if the trained model is missing, DataError for pictures
    that are not prepared.
    """
    task, seed, shield = experiment.task, experiment.seed, experiment.shield
    if shield is None or experiment.trained is None:
        raise SteadyflowError(f"{experiment.name} has no shield; shields in {PARAMS_FILE} says what has one")
    manifest = manifest_path(root, task)
    if not manifest.exists():
        raise DataError(f"{manifest} is missing; run `steadyflow repro prepare@{task}` first")
    source = variant_folder(root, task, experiment.trained, seed) / "model"
    flow = load_flow(source, choose_device(experiment.runtime), {"task": task, "variant": experiment.trained})
    settings = settings_of("shield", experiment.resolved(), task=task, variant=experiment.trained)
    named = {"task": task, "variant": experiment.variant, "seed": seed}
    key = run_key("shield", {**named, "settings": settings}, [manifest, source / WEIGHTS])
    with open_experiment(root, experiment, key, "shield") as run:
        run.params({**named, "design": experiment.design and experiment.design.model_dump()})
        shielded = shield_flow(flow, prepared_crops(root, experiment), seed, shield.quantile, shield.budget)
        config = dataclasses.replace(shielded.config, variant=str(experiment.variant), run_key=key)
        described = config.shield or {}
        run.params({"shield": {"of": experiment.trained, "run_key": flow.config.run_key, **shield.model_dump()}})
        run.metrics({f"shield/{name}": described[name] for name in ("quantile", "agreement", "bound", "good_draw")})
        folder = save_model(variant_folder(root, task, config.variant, seed) / "model", shielded.network, config)
        run.artifact(folder, "model")
    return dataclasses.replace(shielded, config=config)
