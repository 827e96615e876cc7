"""How often flows explode or leave the box, over seeds and many shifts of the condition: paper A shows one of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.lab.toy import ToyFlow
from pipeline.studies.toy2d import training
from pipeline.studies.toy2d.problem import SHIFT, shifted

SIZES = (0.5, 1.0, 2.0, 4.0)  # in lengths of the paper's shift
DIRECTIONS = 8  # evenly spread, the paper's among them
POINTS = 500  # samples per shift
EXPLODED = 10.0  # a variance ratio above it
LEFT = 0.1  # a flow has left the box if a larger share of its samples lies outside

Row = Mapping[str, Any]


def vectors() -> list[tuple[float, int, tuple[float, float]]]:
    """Return (size, direction, shift) of all shifts; size 1 in direction 0 is the paper's."""
    length, start = math.hypot(*SHIFT), math.atan2(SHIFT[1], SHIFT[0])
    angles = [start + 2 * math.pi * direction / DIRECTIONS for direction in range(DIRECTIONS)]
    return [
        (size, direction, (size * length * math.cos(angle), size * length * math.sin(angle)))
        for size in SIZES
        for direction, angle in enumerate(angles)
    ]


@torch.no_grad()
def measure_shifts(flow: ToyFlow, y: Tensor, z: Tensor) -> list[dict[str, Any]]:
    """Return a row per shift: what the flow's samples are for conditions ``y`` that were shifted by it.

    Columns as in ``training.measure``; y and z ``(B, 2, 1, 1)``, of which the first POINTS count.
    """
    y, z = y[:POINTS], z[:POINTS]
    known = training.sample_at(flow, y, z)
    rows = []
    for size, direction, shift in vectors():
        unusual = training.sample_at(flow, shifted(y, shift), z)
        rows.append(
            {
                "size": size,
                "direction": direction,
                "variance_ratio": training.variance_ratio(unusual, known),
                "outside": training.outside(unusual),
                "nonfinite": training.nonfinite(unusual),
            }
        )
    return rows


def exploded(row: Row) -> bool:
    """Return whether samples are not finite, or their variance grew more than EXPLODED-fold."""
    ratio = row["variance_ratio"]
    return ratio is None or ratio > EXPLODED or row["nonfinite"] > 0


def left(row: Row) -> bool:
    """Return whether more than LEFT of the samples lie outside of [-1, 1]^2."""
    return bool(row["outside"] > LEFT)


def frequencies(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return per variant, net and size the shares of (seed, direction) that exploded and that left.

    ``seeds_exploded``, ``seeds_left``: shares of seeds that did so in at least one direction.
    """
    groups = dict.fromkeys((row["variant"], row["net"], row["size"]) for row in rows)
    found = []
    for variant, net, size in groups:
        own = [row for row in rows if (row["variant"], row["net"], row["size"]) == (variant, net, size)]
        seeds = {row["seed"] for row in own}
        line: dict[str, Any] = {"variant": variant, "net": net, "size": size, "cases": len(own)}
        for name, happened in (("exploded", exploded), ("left", left)):
            line[name] = sum(map(happened, own)) / len(own)
            line[f"seeds_{name}"] = len({row["seed"] for row in own if happened(row)}) / len(seeds)
        found.append(line)
    return found
