"""What each of two processes runs in tests/pipeline/training/test_two_processes.py: every training, for a few steps."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json

import numpy as np
import torch
import torch.distributed as dist

from pipeline.kinds import KINDS
from pipeline.kinds.contract import Drawing
from pipeline.model_folder import ModelConfig, build
from pipeline.params import load_params
from pipeline.pictures.eight_bit import to_tensor
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.loop import Hooks, Plan, fit

WORLD, STEPS, SEED, PATIENCE = 2, 3, 7, datetime.timedelta(seconds=60)


def trainings(params):
    """Return (task, variant) per training: each task's pretraining (variant None) and flow, with a variant in turn."""
    flows = list(zip(params.tasks, itertools.cycle(params.variants), strict=False))
    return [(task, None) for task in params.tasks] + flows


def name_of(task, variant):
    """Return what a training is called here."""
    return f"{task} {variant or 'encoder'}"


def train_everything(rank, folder):
    """Run all trainings of params.yaml at profile smoke as process ``rank``; write ``folder/<rank>.json``."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD, timeout=PATIENCE
    )
    params, found = load_params(), {}
    for task, variant in trainings(params):
        try:
            found[name_of(task, variant)] = _train(params, task, variant, rank, folder)
        except Exception as error:
            error.add_note(f"in the training of {name_of(task, variant)}")
            raise
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


def _train(params, task, variant, rank, folder):
    described, settings = params.task(task), params.profiles["smoke"][task]
    kind = KINDS[described.kind]
    torch.manual_seed(SEED)
    if variant is None:
        sizes = settings.network.encoder.model_dump()
        network = build(ModelConfig(f"{described.kind}_encoder", task, "encoder", "smoke", described.scale, sizes, {}))
        objective, training = kind.pretraining(network), None
    else:
        chosen, sizes = params.variant(variant), settings.network.model_dump()
        transform = {"name": chosen.transform, "options": dict(chosen.options)}
        network = build(
            ModelConfig(described.kind, task, variant, "smoke", described.scale, sizes, transform, dict(chosen.caps))
        )
        objective, training = kind.objective(network), settings.training
    before = _digest(network)

    def batches(start, stop):
        for step in range(start, stop):
            drawing = Drawing(SEED, step, range(step * WORLD + rank, (step + 1) * WORLD, WORLD))
            sides = _sides(kind, drawing.samples, settings.data.crop)
            yield kind.batch(sides, described.scale, _coin_lands(training, step), drawing)

    plan = Plan(what=name_of(task, variant), steps=STEPS, learning_rate=1e-3, ema_decay=0.9)
    store = CheckpointStore(folder / name_of(task, variant))
    outcome = fit(objective, plan, batches, store, torch.device("cpu"), Hooks())
    trained = {name: parameter for name, parameter in objective.named_parameters() if parameter.requires_grad}
    return {
        "trained": len(trained),
        "without_gradient": [name for name, parameter in trained.items() if parameter.grad is None],
        "fresh": before,
        "last": _digest(network),
        "averaged": _digest(outcome.network),
    }


def _coin_lands(training, step):
    """Return the settings with LLFlow's coin landing on both sides in turn: both must leave gradients everywhere."""
    return training and training.model_copy(update={"ratio_probability": float(step % 2)})


def _sides(kind, samples, size):
    """Return made-up pictures, different for every sample."""
    each = []
    for sample in samples:
        pixels = np.random.default_rng(sample).integers(0, 256, (size, size, 3), dtype=np.uint8)
        each.append(kind.sides_of(pixels, str(sample)))
    return [torch.cat([to_tensor(side) for side in sides]) for sides in zip(*each, strict=True)]


def _digest(network):
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
