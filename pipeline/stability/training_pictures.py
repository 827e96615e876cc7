"""Crops of the pictures that a flow was trained on: what is in distribution is measured on them."""

from __future__ import annotations

import math
from pathlib import Path

from pipeline.experiment import Experiment
from pipeline.feed.of_task import pairs_of
from pipeline.inference.held_out import Crops, spread

PICTURES = 64  # of all, spread evenly: more change the features' mean and covariance little and cost memory


def training_crops(root: Path, experiment: Experiment, limit: int = PICTURES) -> Crops:
    """Return named centre crops, as large as held-out ones, with their sides ``(h, w, 3)`` uint8, target first.

    A picture that is smaller than what the network needs is left out.
    """
    problem, settings = experiment.problem, experiment.settings
    pairs = pairs_of(root, experiment, "train")
    multiple = math.lcm(problem.scale, 2**settings.network.levels, pairs.scale)
    crops: Crops = []
    for index in spread(list(range(len(pairs.ids))), limit):
        full = pairs.shape(index)
        height, width = (min(side, settings.data.validation_crop) // multiple * multiple for side in full)
        if height and width:
            top, left = ((a - b) // 2 // pairs.scale * pairs.scale for a, b in zip(full, (height, width), strict=True))
            crops.append((pairs.ids[index], pairs.crop(index, top, left, height, width)))
    return crops
