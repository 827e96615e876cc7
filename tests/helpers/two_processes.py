"""What each of two processes runs in tests/pipeline/training/test_two_processes.py: every training, for a few steps."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import math

import torch
import torch.distributed as dist
from made_up_training import made_up_sides

from pipeline.config import RecoveryConfig
from pipeline.experiment import Experiment
from pipeline.kinds import KINDS
from pipeline.kinds.contract import Drawing
from pipeline.model_folder import build
from pipeline.params import load_params
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.closed_form import starting
from pipeline.training.loop import Hooks, Plan, fit
from pipeline.training.model_configs import encoder_config
from pipeline.training.train import flow_objective

WORLD, STEPS, SEED, PATIENCE = 2, 3, 7, datetime.timedelta(seconds=60)
CROPS, STARTED = 6, ("df2k_x4", "lol")
_PENALTY = {"name": "finite_differences", "options": {"weight": 0.01, "every": 2}}  # in the second of three steps
_MEMORY, _REGULARIZERS = ("reversible", "plain", "checkpoint"), (_PENALTY, None)  # flows have them in turn


def trainings(params):
    """Return (task, variant) per training: each task's pretraining (variant None) and flow, with a variant in turn."""
    flows = list(zip(params.tasks, itertools.cycle(params.variants), strict=False))
    return [(task, None) for task in params.tasks] + flows


def ways(params):
    """Return (how memory is saved, regularizer) per task, for its flow."""
    return dict(zip(params.tasks, zip(itertools.cycle(_MEMORY), itertools.cycle(_REGULARIZERS)), strict=False))


def name_of(task, variant):
    """Return what a training is called here."""
    return f"{task} {variant or 'encoder'}"


def train_everything(rank, folder):
    """Run all trainings of params.yaml at profile smoke as process ``rank``; write ``folder/<rank>.json``."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD, timeout=PATIENCE
    )
    params, found = load_params().model_copy(update={"profile": "smoke"}), {}
    for task, variant in trainings(params):
        try:
            found[name_of(task, variant)] = _train(params, task, variant, rank, folder)
        except Exception as error:
            error.add_note(f"in the training of {name_of(task, variant)}")
            raise
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    (folder / f"recovered-{rank}.json").write_text(json.dumps(_recovered(params, rank, folder)), encoding="utf-8")
    for task in STARTED:
        torch.save(started(params, task, rank, WORLD), folder / f"{task}-{rank}.pt")
    dist.destroy_process_group()


def started(params, task, rank, world):
    """Return the weights of the task's flow as its start in closed form leaves them on rank ``rank`` of ``world``."""
    experiment = Experiment.of(params, task, params.seeds[0], "certified_spline")
    kind = KINDS[experiment.problem.kind]
    torch.manual_seed(SEED)
    objective = flow_objective(experiment)
    drawing = Drawing(SEED, 0, range(rank, CROPS, world))
    sides = made_up_sides(kind, drawing.samples, experiment.settings.data.crop)
    batch = kind.batch(sides, experiment.problem.scale, experiment.settings.training, drawing)
    with starting(objective, ridge=0.1, whitening=True):
        objective(*batch)
    return objective.network.state_dict()


def _recovered(params, rank, folder):
    """Return what a training came to that was broken on the second rank alone, and once alone, in steps 3 and 4."""
    experiment = Experiment.of(params, "df2k_x4", params.seeds[0], "affine")
    torch.manual_seed(SEED)
    objective, broken = flow_objective(experiment), {3, 4} if rank == 1 else set()

    def batches(start, stop):
        for step in range(start, stop):
            target, *rest = _batch(experiment, experiment.settings.training, step, rank)
            yield target * (math.nan if step in broken else 1.0), *rest
            broken.discard(step)

    recovery = RecoveryConfig(nonfinite_steps=2, validations=1, rate=0.5, limit=1)
    plan = Plan(*("recovery", 8, 1e-3), ema_decay=0.9, nonfinite_limit=5, validation_every=2, recovery=recovery)
    hooks = Hooks(validate=lambda network: {"validation_nll": 1.0, "validation_bits_per_dim": 1.0})
    outcome = fit(objective, plan, batches, CheckpointStore(folder / "recovery"), torch.device("cpu"), hooks)
    return {"returns": outcome.returns, "last": _digest(objective.network), "averaged": _digest(outcome.network)}


def _batch(experiment, training, step, rank):
    kind = KINDS[experiment.problem.kind]
    drawing = Drawing(SEED, step, range(step * WORLD + rank, (step + 1) * WORLD, WORLD))
    sides = made_up_sides(kind, drawing.samples, experiment.settings.data.crop)
    return kind.batch(sides, experiment.problem.scale, training, drawing)


def _train(params, task, variant, rank, folder):
    experiment = Experiment.of(params, task, params.seeds[0], variant)
    kind, settings = KINDS[experiment.problem.kind], experiment.settings
    torch.manual_seed(SEED)
    if variant is None:
        objective, training = kind.pretraining(build(encoder_config(experiment))), None
    else:
        memory, regularizer = ways(params)[task]
        changes = {"settings.training.memory": memory, "settings.training.regularizer": regularizer}
        objective, training = flow_objective(experiment.vary(changes)), settings.training
    before = _digest(objective.network)

    def batches(start, stop):
        for step in range(start, stop):
            yield _batch(experiment, _coin_lands(training, step), step, rank)

    plan = Plan(what=name_of(task, variant), steps=STEPS, learning_rate=1e-3, ema_decay=0.9, log_every=1)
    store = CheckpointStore(folder / name_of(task, variant))
    outcome = fit(objective, plan, batches, store, torch.device("cpu"), Hooks())
    trained = {name: parameter for name, parameter in objective.named_parameters() if parameter.requires_grad}
    return {
        "trained": len(trained),
        "without_gradient": [name for name, parameter in trained.items() if parameter.grad is None],
        "fresh": before,
        "terms": [[row["step"], row["loss"], row.get("nll"), row.get("penalty")] for row in outcome.history],
        "last": _digest(objective.network),
        "averaged": _digest(outcome.network),
    }


def _coin_lands(training, step):
    """Return the settings with LLFlow's coin landing on both sides in turn: both must leave gradients everywhere."""
    return training and training.model_copy(update={"ratio_probability": float(step % 2)})


def _digest(network):
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
