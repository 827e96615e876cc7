"""Trainings at the smoke profile on pictures that are made up: no data, no files."""

import numpy as np
import torch

from pipeline.experiment import Experiment
from pipeline.kinds import KINDS
from pipeline.kinds.contract import Drawing
from pipeline.params import load_params
from pipeline.pictures.eight_bit import to_tensor


def smoke_experiment(task, changes, variant="affine"):
    """Return the experiment of params.yaml at profile smoke with other values at dotted places."""
    params = load_params().model_copy(update={"profile": "smoke"})
    return Experiment.of(params, task, params.seeds[0], variant).vary(changes)


def made_up_sides(kind, samples, size):
    """Return made-up pictures, different for every sample, as batches of the kind's sides."""
    each = []
    for sample in samples:
        pixels = np.random.default_rng(sample).integers(0, 256, (size, size, 3), dtype=np.uint8)
        each.append(kind.sides_of(pixels, str(sample)))
    return [torch.cat([to_tensor(side) for side in sides]) for sides in zip(*each, strict=True)]


def made_up_batches(experiment):
    """Return what pipeline.training.batches.batches_of returns, of made-up pictures, for one worker."""
    settings, scale = experiment.settings, experiment.problem.scale
    kind, batch = KINDS[experiment.problem.kind], experiment.settings.training.batch

    def batches(start, stop):
        for step in range(start, stop):
            samples = range(step * batch, (step + 1) * batch)
            sides = made_up_sides(kind, samples, settings.data.crop)
            yield kind.batch(sides, scale, settings.training, Drawing(experiment.seed, step, samples))

    return batches
