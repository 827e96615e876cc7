"""Audit a model folder that a user has, on the photographs that come with the dependencies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.commands.own_inputs import own_inputs
from pipeline.config import RuntimeConfig, StabilityConfig
from pipeline.datasets.catalogue import DATASETS
from pipeline.devices import choose_device
from pipeline.errors import ConfigError
from pipeline.files import writable_folder
from pipeline.model_folder import load_flow
from pipeline.pictures.decode import decode
from pipeline.stability.analyses import ANALYSES, cheap, chosen
from pipeline.stability.audit import audit
from pipeline.stability.contract import Option

ALL = "all"
_DRAWS, _STRESS_SIZE = 4, 40


def audit_model(
    model: Path,
    out: Path,
    temperature: float | None = None,
    analyses: Iterable[str] | None = None,
    inputs: Path | None = None,
    seed: int = 10,
) -> dict[str, Any]:
    """Audit a model folder on the photographs that come with the dependencies; write ``out``, return the summary.

    ``temperature``: None for the model's own, at which ``sample`` draws too. ``analyses``: names of what is run,
    ``all`` for every one, None for all that take seconds. ``inputs``: degraded pictures, a folder or one file, audited
    beside the stress inputs. Raises ConfigError for an analysis that does not exist, CheckpointError for a folder that
    holds no flow, DataError for inputs of which none can be read.
    """
    selected = _selected(analyses)
    device = choose_device(RuntimeConfig())
    flow = load_flow(model, device)
    own = own_inputs(inputs, flow.kind, device) if inputs is not None else []
    writable_folder(out)
    tau = flow.config.temperature if temperature is None else temperature
    multiple = flow.network.scale * flow.network.multiple
    side = 160 - 160 % multiple
    held_out = [source for source in DATASETS["df2k"].demo().pictures if source.split == "validation"]
    pictures = [(source.id, _centre(decode(source.content).pixels, side)) for source in held_out]
    crops = [(name, flow.kind.sides_of(picture, name)) for name, picture in pictures]
    limits = StabilityConfig(
        pictures=len(crops), draws=_DRAWS, temperature=tau, stress_size=_STRESS_SIZE, analyses=selected
    )
    return audit(flow, crops, out, limits, seed, own=own)


def _selected(names: Iterable[str] | None) -> dict[str, dict[str, Option]]:
    """Return the selection of analyses by ``names``, with their default options."""
    if names is None:
        return cheap()
    given = list(names)
    selection: dict[str, dict[str, Option]] = {name: {} for name in (ANALYSES if given == [ALL] else given)}
    try:
        chosen(selection)
    except ValueError as error:
        raise ConfigError(f"--analyses: {error}, {ALL}") from None
    return selection


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]
