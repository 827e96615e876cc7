"""The held-out crops that are restored, audited and validated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.experiment import Experiment
from pipeline.feed.loading import validation_pairs
from pipeline.feed.of_task import pairs_of

Crop = tuple[str, tuple[np.ndarray, ...]]
Crops = list[Crop]


def held_out_crops(root: Path, experiment: Experiment, side: int | None = None, limit: int | None = None) -> Crops:
    """Return named crops with their sides ``(h, w, 3)`` uint8, target first; the same ones at every call.

    ``side``: their largest side, else ``data.validation_crop``. ``limit``: at most so many, spread evenly over
    the ``data.validation_limit`` that there are.
    """
    problem, data = experiment.problem, experiment.settings.data
    pairs = pairs_of(root, experiment, "validation")
    # what scale and squeezes need
    multiple = max(problem.scale, 2**experiment.settings.network.levels)
    crops = validation_pairs(pairs, side or data.validation_crop, data.validation_crops, multiple)
    return spread(spread(crops, data.validation_limit), limit)


def spread(items: list[Any], limit: int | None) -> list[Any]:
    """Return at most ``limit`` of the items, evenly spread from the first to the last."""
    if limit is None or len(items) <= limit:
        return items
    return [items[round(place * (len(items) - 1) / max(1, limit - 1))] for place in range(limit)]
