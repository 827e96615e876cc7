"""Share of bad pixels in un-clamped draws: outside [-0.5, 1.5] (paper A, section 3.2) or not finite."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.console import progress
from pipeline.pictures.eight_bit import bad_values, to_uint8, value_statistics
from pipeline.stability.contract import PERCENT, Analysis, Bars, Found, Number
from pipeline.stability.subject import IN_DISTRIBUTION, Subject

STRESS_TABLE = "stress.csv"
_BEFORE_TAILS = "stress_before_tails"


@dataclasses.dataclass(frozen=True)
class BadPixels(Analysis):
    """Shares of bad values on held-out pictures and on stress inputs, and a picture of each of these."""

    name: ClassVar = "bad_pixels"
    title: ClassVar = "Bad values in draws"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "bad_share_in_distribution": Number("Bad values on photographs", "%", factor=PERCENT),
        "bad_share_stress": Number("Bad values on stress inputs", "%", factor=PERCENT),
        "nonfinite_share_in_distribution": Number("NaN or infinite values on photographs", "%", factor=PERCENT),
        "nonfinite_share_stress": Number("NaN or infinite values on stress inputs", "%", factor=PERCENT),
        "largest_in_distribution": Number("Largest finite magnitude of a value, photographs", "of range 1"),
        "largest_stress": Number("Largest finite magnitude of a value, stress inputs", "of range 1"),
        "bad_share_stress_before_tails": Number(
            "Bad values on stress inputs, before a shield's tails", "%", factor=PERCENT
        ),
        "largest_stress_before_tails": Number(
            "Largest finite magnitude of a value, stress inputs, before a shield's tails", "of range 1"
        ),
        "inputs_with_bad_pixels_in_distribution": Number("Photographs with bad values", "inputs"),
        "inputs_with_bad_pixels_stress": Number("Stress inputs with bad values", "inputs"),
    }
    tables: ClassVar = {STRESS_TABLE: ("name", "kind", "bad_share", "nonfinite_values", "values", "largest")}
    plots: ClassVar = (
        Bars(
            name="stress_shares",
            title="bad values on stress inputs",
            caption="Share of bad values in un-clamped draws, by kind of stress input: outside [-0.5, 1.5], NaN or "
            "infinite.",
            alt="Share of bad values per kind of stress input and variant",
            table=STRESS_TABLE,
            group="kind",
            group_title="kind of stress input",
            value="bad_share",
            value_title="share of bad values",
            weight="values",
        ),
    )

    @torch.no_grad()
    def run(self, subject: Subject) -> Found:
        """Return both shares over all values, and how many inputs have any bad one.

        ``..._before_tails``: of what a shield's tails are given (models/restoration/tails.py), which is what to compare
        with flows that have none; of these it is the same.
        """
        rows: list[dict[str, Any]] = []
        pictures: dict[str, np.ndarray] = {}
        totals = {where: {"bad": 0, "nonfinite": 0, "values": 0, "inputs": 0} for where in (IN_DISTRIBUTION, "stress")}
        largest: dict[str, list[float]] = {where: [] for where in (*totals, _BEFORE_TAILS)}
        bad_before_tails, tails = 0, subject.network.tails
        for condition, kind, name, seen in progress(subject.inputs(), "bad pixels"):
            padded, shared = subject.condition(seen)
            images, _ = subject.network.inverse(subject.latents(padded, name), shared)
            counts = value_statistics(images)
            bad = bad_values(counts)
            where = IN_DISTRIBUTION if condition == IN_DISTRIBUTION else "stress"
            total = totals[where]
            total["bad"] += bad
            total["nonfinite"] += counts["nonfinite_values"]
            total["values"] += counts["values"]
            total["inputs"] += bad > 0
            extremes = _extremes(counts)
            largest[where] += extremes
            if condition != IN_DISTRIBUTION:
                before = counts if tails is None else value_statistics(tails(images)[0])
                bad_before_tails += bad_values(before)
                largest[_BEFORE_TAILS] += _extremes(before)
                rows.append(
                    {
                        "name": name,
                        "kind": kind,
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
        reasons: dict[str, str] = {}
        for where, total in totals.items():
            numbers[f"bad_share_{where}"] = total["bad"] / total["values"] if total["values"] else None
            numbers[f"nonfinite_share_{where}"] = total["nonfinite"] / total["values"] if total["values"] else None
            numbers[f"inputs_with_bad_pixels_{where}"] = float(total["inputs"])
            numbers[f"largest_{where}"] = max(largest[where], default=None)
            why = "no value is finite" if total["values"] else "no such input"
            reasons |= {name: why for name in numbers if name.endswith(where) and numbers[name] is None}
        numbers[f"bad_share_{_BEFORE_TAILS}"] = bad_before_tails / totals["stress"]["values"] if rows else None
        numbers[f"largest_{_BEFORE_TAILS}"] = max(largest[_BEFORE_TAILS], default=None)
        why = reasons.get("largest_stress", "no such input")
        reasons |= {name: why for name in numbers if name.endswith(_BEFORE_TAILS) and numbers[name] is None}
        return Found(numbers, reasons, {STRESS_TABLE: rows}, pictures, _said(totals))


def _extremes(counts: dict[str, Any]) -> list[float]:
    return [abs(value) for value in (counts["minimum"], counts["maximum"]) if value is not None]


def _said(totals: dict[str, dict[str, int]]) -> str:
    words = {IN_DISTRIBUTION: "photographs", "stress": "stress inputs"}
    shares = [f"{total['bad'] / total['values']:.2%} on {words[w]}" for w, total in totals.items() if total["values"]]
    return f"bad pixels {', '.join(shares)}"


def _side_by_side(seen: Tensor, draw: Tensor, scale: int) -> np.ndarray:
    """Return the enlarged input beside one draw, ``(H, 2 W, 3)`` uint8."""
    enlarged = F.interpolate(seen, scale_factor=scale, mode="nearest")[0]
    return np.concatenate([to_uint8(enlarged, "round"), to_uint8(draw, "round")], axis=1)
