"""Share of bad pixels in un-clamped draws: outside [-0.5, 1.5] (paper A, section 3.2) or not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.console import progress
from pipeline.pictures.eight_bit import to_uint8, value_statistics
from pipeline.stability.analysis import Findings, Subject

_COLUMNS = ["name", "kind", "bad_share", "nonfinite_values", "values", "largest"]


@torch.no_grad()
def bad_pixels(subject: Subject) -> Findings:
    """Return the share of bad values on held-out pictures and on stress inputs, and a picture of each of these.

    Numbers: ``bad_share`` and ``nonfinite_share`` over all values, and how many inputs have any bad one.
    """
    kinds = {stress.name: stress.kind for stress in subject.stress}
    rows: list[dict[str, Any]] = []
    pictures: dict[str, np.ndarray] = {}
    totals = {where: {"bad": 0, "nonfinite": 0, "values": 0, "inputs": 0} for where in ("in_distribution", "stress")}
    for condition, name, lr in progress(subject.inputs(), "bad pixels"):
        padded, shared = subject.condition(lr)
        images, _ = subject.network.inverse(subject.latents(padded, name), shared)
        counts = value_statistics(images)
        bad = counts["outside_values"] + counts["nonfinite_values"]
        total = totals["stress" if name in kinds else condition]
        total["bad"] += bad
        total["nonfinite"] += counts["nonfinite_values"]
        total["values"] += counts["values"]
        total["inputs"] += bad > 0
        if name in kinds:
            extremes = [abs(value) for value in (counts["minimum"], counts["maximum"]) if value is not None]
            rows.append(
                {
                    "name": name,
                    "kind": kinds[name],
                    "bad_share": bad / counts["values"],
                    "nonfinite_values": counts["nonfinite_values"],
                    "values": counts["values"],
                    "largest": max(extremes, default=None),
                }
            )
            pictures[f"stress/{name}.png"] = _side_by_side(
                subject.flow.kind.shown(padded), images[0], subject.network.scale
            )
    numbers: dict[str, float | None] = {}
    for where, total in totals.items():
        numbers[f"bad_share_{where}"] = total["bad"] / total["values"] if total["values"] else None
        numbers[f"nonfinite_share_{where}"] = total["nonfinite"] / total["values"] if total["values"] else None
        numbers[f"inputs_with_bad_pixels_{where}"] = float(total["inputs"])
    reasons = {name: "no such input" for name, value in numbers.items() if value is None}
    return Findings(numbers, reasons, {"stress.csv": (_COLUMNS, rows)}, pictures)


def _side_by_side(lr: Tensor, draw: Tensor, scale: int) -> np.ndarray:
    """Return the enlarged input beside one draw, ``(H, 2 W, 3)`` uint8."""
    enlarged = F.interpolate(lr, scale_factor=scale, mode="nearest")[0]
    return np.concatenate([to_uint8(enlarged, "round"), to_uint8(draw, "round")], axis=1)
