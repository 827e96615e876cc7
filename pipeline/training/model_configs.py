"""What the networks of an experiment are built from."""

from __future__ import annotations

from pipeline.experiment import Experiment
from pipeline.model_folder import ENCODER, ModelConfig


def encoder_config(experiment: Experiment) -> ModelConfig:
    """Return what the experiment's encoder is built from."""
    return ModelConfig(
        kind=f"{experiment.problem.kind}{ENCODER}",
        task=experiment.task,
        variant="encoder",
        profile=experiment.profile,
        scale=experiment.problem.scale,
        network=experiment.settings.network.encoder.model_dump(),
        transform={},
        seed=experiment.seed,
    )


def flow_config(experiment: Experiment) -> ModelConfig:
    """Return what the experiment's flow is built from. Raises ValueError for an experiment of an encoder alone."""
    design = experiment.design
    if experiment.variant is None or design is None:
        raise ValueError(f"{experiment.name} has no variant, so there is no flow to build")
    return ModelConfig(
        kind=experiment.problem.kind,
        task=experiment.task,
        variant=experiment.variant,
        profile=experiment.profile,
        scale=experiment.problem.scale,
        network=experiment.settings.network.model_dump(),
        transform={"name": design.transform, "options": dict(design.options)},
        caps=dict(design.caps),
        temperature=experiment.settings.sampling.temperature,
        seed=experiment.seed,
    )
