"""Run every analysis on a network and write what they found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.files import write_csv, write_json
from pipeline.model_folder import LoadedFlow
from pipeline.origin import origin_of
from pipeline.pictures.eight_bit import to_tensor, write_png
from pipeline.stability import ANALYSES
from pipeline.stability.analysis import Subject
from pipeline.stability.stress import stress_inputs


def audit(
    flow: LoadedFlow,
    crops: Sequence[tuple[str, tuple[np.ndarray, ...]]],
    folder: Path,
    draws: int,
    temperature: float,
    stress_size: int,
    seed: int,
    device: torch.device,
) -> dict[str, Any]:
    """Audit ``flow`` on held-out crops and on stress inputs; write ``folder``, return the summary.

    ``crops`` as in ``pipeline.inference.restore.restore_crops``.
    """
    network, kind = flow.network, flow.kind
    pictures = [
        (name, *kind.pair([to_tensor(side).to(device) for side in sides], network.scale)) for name, sides in crops
    ]
    stress = stress_inputs(stress_size, seed, [seen for _, _, seen in pictures], kind, device)
    subject = Subject(flow, pictures, stress, draws, temperature, seed)
    numbers: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for analysis, run in ANALYSES.items():
        found = run(subject)
        numbers[analysis] = found.numbers
        reasons |= {f"{analysis}.{name}": text for name, text in found.reasons.items()}
        for file, (columns, rows) in found.tables.items():
            write_csv(folder / file, columns, rows)
        for file, picture in found.pictures.items():
            write_png(folder / file, picture)
    summary = {**origin_of(flow.config), "analyses": numbers, "reasons": reasons}
    write_json(folder / "summary.json", summary)
    return summary


def tracked_numbers(summary: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of an audit's summary under the names that MLflow shows them by; None is left out."""
    return {
        f"stability/{analysis}.{name}": value
        for analysis, values in summary["analyses"].items()
        for name, value in values.items()
        if value is not None
    }


def summary_line(summary: dict[str, Any]) -> str:
    """Return the main figures of an audit's summary in a line for people."""
    bad = summary["analyses"]["bad_pixels"]
    on_photographs, on_stress = bad["bad_share_in_distribution"], bad["bad_share_stress"]
    return f"bad pixels {on_photographs:.2%} on photographs, {on_stress:.2%} on stress inputs"
