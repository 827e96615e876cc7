"""Run analyses on a network and write what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.config import RuntimeConfig
from pipeline.console import say
from pipeline.devices import choose_device
from pipeline.files import writable_folder, write_csv, write_json
from pipeline.pictures.eight_bit import to_tensor, write_png
from pipeline.stability import chosen
from pipeline.stability.contract import COSTS, Analysis, Found, Option
from pipeline.stability.stress import stress_inputs
from pipeline.stability.subject import Subject


def audit(
    network: Any,
    crops: Sequence[tuple[str, tuple[np.ndarray, ...]]],
    folder: Path,
    draws: int,
    temperature: float,
    stress_size: int,
    seed: int,
    device: torch.device,
    analyses: Mapping[str, Mapping[str, Option]] | None = None,
) -> dict[str, Any]:
    """Audit ``network`` on held-out crops and on stress inputs; write ``folder``, return the summary.

    ``crops`` as in ``pipeline.inference.restore.restore_crops``. ``analyses``: name -> options, None for all that take
    seconds. Raises ValueError for a name or an option that does not exist.
    """
    selection = chosen(analyses)
    kind = network.kind
    pictures = [
        (name, *kind.pair([to_tensor(side).to(device) for side in sides], network.scale)) for name, sides in crops
    ]
    stress = stress_inputs(stress_size, seed, [seen for _, _, seen in pictures], kind, device)
    subject = Subject(network, pictures, stress, draws, temperature, seed)
    numbers: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for analysis in selection:
        if analysis.cost != "seconds":
            say(f"{analysis.title}: {COSTS[analysis.cost]}")
        found = analysis.run(subject)
        _write(folder, analysis, found)
        if found.said:
            say(f"{network.config.task} {network.config.variant}: {found.said}")
        numbers[analysis.name] = found.numbers
        reasons |= {f"{analysis.name}.{name}": text for name, text in found.reasons.items()}
    config = network.config
    described = {
        "task": config.task,
        "variant": config.variant,
        "profile": config.profile,
        "run_key": config.run_key,
    }
    summary = {**described, "analyses": numbers, "reasons": reasons}
    write_json(folder / "summary.json", summary)
    return summary


def _write(folder: Path, analysis: Analysis, found: Found) -> None:
    """Write tables and pictures; ValueError for a number of which the analysis says nothing, KeyError for a table."""
    if unsaid := [name for name in found.numbers if analysis.number(name) is None]:
        raise ValueError(f"the analysis {analysis.name} says nothing of its numbers {unsaid}")
    for file, rows in found.tables.items():
        write_csv(folder / file, list(analysis.tables[file]), rows)
    for file, picture in found.pictures.items():
        write_png(folder / file, picture)


def audit_model(
    model: Path,
    out: Path,
    temperature: float | None = None,
    draws: int = 4,
    stress_size: int = 40,
    seed: int = 10,
    analyses: Mapping[str, Mapping[str, Option]] | None = None,
) -> dict[str, Any]:
    """Audit a model folder on the photographs that come with the dependencies; write ``out``, return the summary.

    ``temperature``: None for the model's own, at which ``sample`` draws too. ``analyses``: as in ``audit``. Raises
    CheckpointError for a folder that holds no flow.
    """
    from pipeline.datasets import DATASETS
    from pipeline.model_folder import load_flow
    from pipeline.pictures.decode import decode

    device = choose_device(RuntimeConfig())
    network = load_flow(model, device)
    writable_folder(out)
    tau = network.config.temperature if temperature is None else temperature
    multiple = network.scale * network.multiple
    side = 160 - 160 % multiple
    held_out = [source for source in DATASETS["df2k"].demo().pictures if source.split == "validation"]
    pictures = [(source.id, _centre(decode(source.content).pixels, side)) for source in held_out]
    crops = [(name, network.kind.sides_of(picture, name)) for name, picture in pictures]
    return audit(network, crops, out, draws, tau, stress_size, seed, device, analyses)


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]
