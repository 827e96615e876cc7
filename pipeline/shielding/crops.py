"""The crops of photographs that a shield is calibrated on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.console import progress
from pipeline.errors import DataError
from pipeline.experiment import Experiment
from pipeline.feed.loading import validation_pairs
from pipeline.feed.of_task import pairs_of
from pipeline.inference.held_out import Crop, spread
from pipeline.inference.reference_pairs import reference_pairs
from pipeline.model_folder import LoadedFlow

_SIDE = 128  # pixels of the target
_AT_LEAST = 24  # crops: of few pictures several each
_AT_MOST = 96  # pictures: a limit of time; fewer or more were not compared


def prepared_crops(root: Path, experiment: Experiment) -> list[Crop]:
    """Return 96 crops at most of the prepared training pictures of the experiment's task, spread over all of them."""
    pairs = pairs_of(root, experiment, "train")
    multiple = max(experiment.problem.scale, 2**experiment.settings.network.levels)
    return spread(validation_pairs(pairs, _SIDE, -(-_AT_LEAST // len(pairs)), multiple), _AT_MOST)


def calibration_crops(flow: LoadedFlow, pictures: Path, degraded: Path | None) -> list[Crop]:
    """Return crops of the originals in ``pictures`` with what the network sees of them, of 96 pictures at most.

    ``degraded``: by equal names, what the network restores; None makes it by bicubic, which low light cannot.
    DataError for pictures that are missing, unreadable, too small or of sizes that do not belong together.
    """
    network = flow.network
    pairs = reference_pairs(pictures, degraded, flow.kind, network.scale, "--pictures", _AT_MOST)
    multiple = network.scale * network.multiple
    side, each = _SIDE - _SIDE % multiple, -(-_AT_LEAST // len(pairs))
    found = [crop for name, sides in progress(pairs, "read") for crop in _crops(name, sides, side, each, multiple)]
    if not found:
        raise DataError(f"--pictures {pictures}: every picture is smaller than {multiple} x {multiple} pixels")
    return found


def _crops(name: str, sides: tuple[np.ndarray, ...], side: int, most: int, multiple: int) -> Iterator[Crop]:
    """Yield up to ``most`` crops that do not overlap, evenly spread, all sides of a picture in the same place."""
    height, width = (min(side, size - size % multiple) for size in sides[0].shape[:2])
    if not (height and width):
        return
    places = [
        (top, left)
        for top in range(0, sides[0].shape[0] - height + 1, height)
        for left in range(0, sides[0].shape[1] - width + 1, width)
    ]
    for number in range(min(most, len(places))):
        top, left = places[(2 * number + 1) * len(places) // (2 * min(most, len(places)))]
        yield f"{name}-{number + 1}", tuple(_part(one, sides[0], top, left, height, width) for one in sides)


def _part(one: np.ndarray, target: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Return the crop of one side, which may be smaller than the target by the scale."""
    scale = target.shape[0] // one.shape[0]
    return one[top // scale : (top + height) // scale, left // scale : (left + width) // scale]
