"""Whether the networks that params.yaml asks for are possible: they are built on the meta device, without memory."""

from __future__ import annotations

import dataclasses

import psutil
import torch
from torch import nn

from models.flow.layers.coupling import Coupling
from pipeline.config import PARAMS_FILE, Params
from pipeline.devices import workers_of
from pipeline.errors import CheckpointError, ConfigError, printable
from pipeline.experiment import Experiment
from pipeline.model_config import parse_config
from pipeline.model_folder import build
from pipeline.shapes_alone import shapes_alone
from pipeline.training.model_configs import encoder_config, flow_config


def check_networks(params: Params) -> None:
    """Raise ConfigError for a task of the chosen profile whose network, training crop or batch is impossible.

    One variant of each task is built: what transform and caps may be was checked when the file was read.
    """
    variant = next(iter(params.variants))
    for task in params.tasks:
        check_network(Experiment.of(params, task, params.seeds[0], variant))


def check_network(experiment: Experiment) -> None:
    """Raise ConfigError if the experiment's network, training crop or batch is impossible.

    That network is the encoder alone where the experiment has no variant.
    """
    where = f"{PARAMS_FILE}: profiles.{experiment.profile}, sizes of task {experiment.task}"
    alone = experiment.variant is None
    config = encoder_config(experiment) if alone else flow_config(experiment)
    try:
        parse_config(dataclasses.asdict(config))
        with shapes_alone():
            network = build(config)
    except (ValueError, TypeError, CheckpointError) as error:
        raise ConfigError(f"{where}: no possible network: {printable(str(error))}") from None
    crop, multiple = experiment.settings.data.crop, config.scale if alone else network.scale * network.multiple
    if crop % multiple:
        raise ConfigError(f"{where}: data.crop is {crop}, which must be a multiple of {multiple}")
    need, have = least_bytes(network, experiment), _machine_bytes()
    if not torch.cuda.is_available():
        need *= max(1, workers_of(experiment.runtime))  # they share what there is
    if need > have:
        name = "pretraining.batch" if alone else "training.batch"
        raise ConfigError(
            f"{where}: {name} {_batch(experiment)} at data.crop {crop} needs "
            f"{need / 2**30:,.0f} GiB at the least, but this machine has {have / 2**30:,.0f}; "
            f"choose a smaller batch or crop{', or more workers' if torch.cuda.is_available() else ''}"
        )


def least_bytes(network: nn.Module, experiment: Experiment) -> int:
    """Return a lower bound of the memory that a worker needs to train ``network``, in bytes; in truth it is more.

    Weights, gradients and Adam's two moments, float32; the target of its share of the batch; and, where gradients are
    computed plainly, for every coupling the half of its input that its net sees, which autograd keeps.
    """
    settings = experiment.settings
    share = -(-_batch(experiment) // max(1, workers_of(experiment.runtime)))
    kept = 3 * settings.data.crop**2
    if settings.training.memory == "plain":
        kept += sum(
            module.passed * (settings.data.crop >> module.place.level) ** 2
            for module in network.modules()
            if isinstance(module, Coupling) and module.place
        )
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return 4 * (4 * trained + share * kept)


def _batch(experiment: Experiment) -> int:
    settings = experiment.settings
    return settings.pretraining.batch if experiment.variant is None else settings.training.batch


def _machine_bytes() -> int:
    gpus = (torch.cuda.get_device_properties(number).total_memory for number in range(torch.cuda.device_count()))
    return max(int(psutil.virtual_memory().total), *gpus, 0)
