"""Whether the networks that params.yaml asks for can be: they are built on the meta device, without memory."""

from __future__ import annotations

import dataclasses

import torch

from pipeline.config import PARAMS_FILE, Params
from pipeline.errors import CheckpointError, ConfigError, printable
from pipeline.experiment import Experiment
from pipeline.model_config import parse_config
from pipeline.model_folder import build
from pipeline.training.model_configs import flow_config


def check_networks(params: Params) -> None:
    """Raise ConfigError for a task of the chosen profile whose network or training crop is impossible.

    One variant of each task is built: what transform and caps may be was checked when the file was read.
    """
    variant = next(iter(params.variants))
    for task in params.tasks:
        where = f"{PARAMS_FILE}: profiles.{params.profile}, sizes of task {task}"
        config = flow_config(Experiment.of(params, task, params.seeds[0], variant))
        try:
            parse_config(dataclasses.asdict(config))
            with torch.device("meta"):
                network = build(config)
        except (ValueError, TypeError, CheckpointError) as error:
            raise ConfigError(f"{where}: no possible network: {printable(str(error))}") from None
        crop, multiple = params.settings(task).data.crop, network.scale * network.multiple
        if crop % multiple:
            raise ConfigError(f"{where}: data.crop is {crop}, which must be a multiple of {multiple}")
