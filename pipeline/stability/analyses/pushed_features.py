"""How far may the condition leave what the flow was trained on? Photographs, their features pushed from the mean.

The encoder's features f of a photograph become m + k (f - m), m the mean of each map over the picture: 1 is the
photograph, and every doubling of k is twice as far from all that the flow has seen. No stress input is used, so what is
found can be held against them: a network that explodes at a small k does so on inputs that nobody thought of.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from pipeline.console import progress
from pipeline.pictures.eight_bit import bad_values, value_statistics
from pipeline.stability.contract import PERCENT, Analysis, Found, Number
from pipeline.stability.measure.encoder_features import pushed
from pipeline.stability.subject import Subject

_FACTORS = (2, 4, 8)
_INPUTS = 2  # photographs: the first ones; a network that explodes does so on any
_MEMBERS = {str(factor): f"features pushed {factor} times" for factor in _FACTORS}


@dataclasses.dataclass(frozen=True)
class PushedFeatures(Analysis):
    """Bad values and the largest magnitude where photographs' features are pushed 2, 4 and 8 times from their mean."""

    name: ClassVar = "pushed_features"
    title: ClassVar = "Features pushed away from photographs"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "bad_share_<factor>": Number("Bad values on photographs, {}", "%", factor=PERCENT, members=_MEMBERS),
        "nonfinite_share_<factor>": Number("NaN or infinite values, {}", "%", factor=PERCENT, members=_MEMBERS),
        "largest_<factor>": Number("Largest finite magnitude, {}", "of range 1", members=_MEMBERS),
    }

    @torch.no_grad()
    def run(self, subject: Subject) -> Found:
        """Return, per factor, shares of all values of one draw of each photograph, and the largest magnitude."""
        network = subject.network
        numbers: dict[str, float | None] = {}
        for factor in progress(_FACTORS, "pushed features"):
            counts = {"bad": 0, "nonfinite": 0, "values": 0}
            extremes: list[float] = []
            for name, _, seen in subject.pictures[:_INPUTS]:
                with pushed(network.encoder, factor):
                    padded, condition = subject.condition(seen)
                images, _ = network.inverse(subject.latents(padded, name)[:1], condition)
                found = value_statistics(images)
                counts["bad"] += bad_values(found)
                counts["nonfinite"] += found["nonfinite_values"]
                counts["values"] += found["values"]
                extremes += [abs(value) for value in (found["minimum"], found["maximum"]) if value is not None]
            for share in ("bad", "nonfinite"):
                numbers[f"{share}_share_{factor}"] = counts[share] / counts["values"] if counts["values"] else None
            numbers[f"largest_{factor}"] = max(extremes, default=None)
        why = "no value is finite" if subject.pictures else "no such input"
        return Found(numbers, {name: why for name, value in numbers.items() if value is None})
