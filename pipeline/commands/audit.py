"""Audit a model folder that a user has, on the photographs that come with the dependencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import RuntimeConfig
from pipeline.datasets import DATASETS
from pipeline.devices import choose_device
from pipeline.files import writable_folder
from pipeline.model_folder import load_flow
from pipeline.pictures.decode import decode
from pipeline.stability.audit import audit


def audit_model(
    model: Path, out: Path, temperature: float | None = None, draws: int = 4, stress_size: int = 40, seed: int = 10
) -> dict[str, Any]:
    """Audit a model folder on the photographs that come with the dependencies; write ``out``, return the summary.

    ``temperature``: None for the model's own, at which ``sample`` draws too. Raises CheckpointError for a folder
    that holds no flow.
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
    return audit(flow, crops, out, draws, tau, stress_size, seed, device)


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]
