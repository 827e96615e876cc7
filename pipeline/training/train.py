"""The training of a flow by maximum likelihood, from the pretrained encoder of its task."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.experiment import Experiment
from pipeline.feed.of_task import pairs_of
from pipeline.feed.sides import Pairs
from pipeline.inference.held_out import Crop, held_out_crops
from pipeline.kinds import KINDS
from pipeline.model_folder import build, load_encoder, save_model
from pipeline.objective import Objective
from pipeline.pictures.eight_bit import to_tensor
from pipeline.tracking.experiments import open_experiment
from pipeline.training import ranks
from pipeline.training.batches import batches_of
from pipeline.training.closed_form import starting
from pipeline.training.jobs import Job, Report, seeded_device
from pipeline.training.loop import Hooks, Outcome, Plan, Start, Values, fit
from pipeline.training.model_configs import flow_config
from pipeline.training.outputs import write_training
from pipeline.training.regularized import Regularized
from pipeline.training.regularizers import regularizer_of
from pipeline.training.stopping import stop_requests

_NOT_OF_THE_SCHEDULE = {"batch", "noise_std", "ratio_probability", "memory", "freeze_encoder", "regularizer", "start"}
_LOGGED = {
    "validation_nll": "validation/nll",
    "validation_bits_per_dim": "validation/bits_per_dim",
}

# Of the summary; its other numbers are parameters, or ends of curves.
_WITHOUT_CURVE = ("bits_per_dim", "minutes", "returns", "collapsed")


def flow_plan(experiment: Experiment) -> Plan:
    """Return the schedule by which the flow is trained."""
    training = experiment.settings.training
    schedule = {name: getattr(training, name) for name in set(type(training).model_fields) - _NOT_OF_THE_SCHEDULE}
    return Plan(what=f"train {experiment.name}", **schedule).at_run_time(experiment.runtime)


def flow_objective(experiment: Experiment) -> Objective:
    """Return what a fresh flow is trained by, its regularizer, how it saves memory and what is frozen included."""
    training = experiment.settings.training
    network = build(flow_config(experiment), training.memory)
    likelihood = KINDS[experiment.problem.kind].objective(network)
    if training.freeze_encoder:
        network.encoder.requires_grad_(False)
    if training.regularizer is None:
        return likelihood
    regularizer = regularizer_of(training.regularizer.name, training.regularizer.options)
    return Regularized(likelihood, regularizer, experiment.seed)


def flow_start(experiment: Experiment, pairs: Pairs, device: torch.device) -> Start | None:
    """Return how the fresh flow is set from the first crops; None: as ``fit`` does."""
    start = experiment.settings.training.start
    if start is None:
        return None

    def first() -> Sequence[Tensor | None]:  # a training that goes on does not ask for it
        return next(iter(batches_of(pairs, experiment, device, start.crops, asked="training.start.crops")(0, 1)))

    return Start(
        first,
        functools.partial(starting, ridge=start.ridge, whitening=start.whitening),
    )


def train(job: Job, report: Report, own: torch.device) -> None:
    """Train the flow of the job's experiment on this worker; the first worker writes the results and tracks them.

    DataError if the encoder or the prepared pictures are missing.
    """
    chosen = job.experiment
    config, plan = flow_config(chosen), flow_plan(chosen)
    weights, key = job.encoder_weights(), job.key()
    device = seeded_device(chosen, "flow", own)
    objective = flow_objective(chosen)
    network: Any = objective.network
    network.encoder.load_state_dict(load_encoder(weights.parent, {"task": chosen.task}).network.state_dict())
    validate = _validator(chosen, held_out_crops(job.root, chosen, side=chosen.settings.data.crop * 2), device)
    pairs = pairs_of(job.root, chosen, "train")
    batches = batches_of(pairs, chosen, device, chosen.settings.training.batch)
    store, start = job.store(key), flow_start(chosen, pairs, device)

    def work(log: Callable[[int, Values], None]) -> Outcome:
        with stop_requests() as should_stop:
            return fit(objective, plan, batches, store, device, Hooks(log, validate, report, should_stop), start)

    if not ranks.is_first():
        work(lambda step, values: None)
        return
    size = sum(parameter.numel() for parameter in network.parameters())
    with open_experiment(job.root, chosen, key, "train", job.parent) as run:
        run.params({**_described(chosen), "parameters": size})
        outcome = work(lambda step, values: run.metrics(_named(values), step=step))
        final = dataclasses.replace(config, run_key=key, step=plan.steps)
        save_model(job.folder / "model", outcome.network, final)
        summary = write_training(job.folder / "training", outcome, final, size)
        run.metrics({f"train/{name}": summary[name] for name in _WITHOUT_CURVE})
        run.artifact(job.folder / "model", "model")
        run.artifact(job.folder / "training", "training")


def _validator(experiment: Experiment, crops: Sequence[Crop], device: torch.device) -> Callable[[nn.Module], Values]:
    """Return a function from a network to its mean nll on held-out crops, without noise."""
    kind, scale = KINDS[experiment.problem.kind], experiment.problem.scale
    pairs = [kind.pair([to_tensor(side).to(device) for side in sides], scale) for _, sides in crops]

    @torch.no_grad()
    def validate(network: nn.Module) -> Values:
        objective: Any = kind.objective(network)
        values = [float(objective(*pair)) for pair in pairs]
        nll = sum(values) / len(values)
        return {"validation_nll": nll, "validation_bits_per_dim": nll / 3.0}

    return validate


def _described(experiment: Experiment) -> dict[str, Any]:
    """Return the parameters of the run: what its training depends on."""
    settings = experiment.settings.model_dump(include={"data", "network", "training"})
    return {**experiment.model_dump(exclude={"settings", "runtime"}), **settings}


def _named(values: Values) -> Values:
    names = _LOGGED if "nll" in values else {**_LOGGED, "loss": "train/nll"}  # a loss of one piece is the nll itself
    return {names.get(name, f"train/{name}"): value for name, value in values.items() if name != "step"}
