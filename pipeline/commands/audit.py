"""Audit a model folder that a user has, on the photographs that come with the dependencies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import RuntimeConfig, StabilityConfig
from pipeline.datasets import DATASETS
from pipeline.devices import choose_device
from pipeline.files import writable_folder
from pipeline.model_folder import load_flow
from pipeline.pictures.decode import decode
from pipeline.stability.analyses import cheap
from pipeline.stability.audit import audit

_DRAWS, _STRESS_SIZE = 4, 40


def audit_model(
    model: Path, out: Path, temperature: float | None = None, analyses: Iterable[str] | None = None, seed: int = 10
) -> dict[str, Any]:
    """Audit a model folder on the photographs that come with the dependencies; write ``out``, return the summary.

    ``temperature``: None for the model's own, at which ``sample`` draws too. ``analyses``: names of what is run, None
    for all that take seconds. Raises CheckpointError for a folder that holds no flow.
    """
    device = choose_device(RuntimeConfig())
    flow = load_flow(model, device)
    writable_folder(out)
    tau = flow.config.temperature if temperature is None else temperature
    multiple = flow.network.scale * flow.network.multiple
    side = 160 - 160 % multiple
    held_out = [source for source in DATASETS["df2k"].demo().pictures if source.split == "validation"]
    pictures = [(source.id, _centre(decode(source.content).pixels, side)) for source in held_out]
    crops = [(name, flow.kind.sides_of(picture, name)) for name, picture in pictures]
    selected = {name: {} for name in analyses} if analyses is not None else cheap()
    limits = StabilityConfig(
        pictures=len(crops), draws=_DRAWS, temperature=tau, stress_size=_STRESS_SIZE, analyses=selected
    )
    return audit(flow, crops, out, limits, seed)


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]
