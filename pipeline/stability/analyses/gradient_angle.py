"""How far gradients of the reversible mode would lie from the true ones without its fallback (paper B, appendix G)."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipeline.console import progress
from pipeline.stability.contract import Analysis, Found, Number
from pipeline.stability.measure.gradient_angle import Angle, gradient_angle
from pipeline.stability.subject import Subject

_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
_DEGREES = 180.0 / math.pi


@dataclasses.dataclass(frozen=True)
class GradientAngle(Analysis):
    """Angles of the nll's gradient with respect to all trained parameters, for each of a few held-out pictures.

    ``pictures``: how many at most. ``size``: side of the centre crop of the target that is taken, pixels, as in a
    training; gradients of a whole picture would not fit into memory.
    """

    name: ClassVar = "gradient_angle"
    title: ClassVar = "Gradients of the reversible mode"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "mean_float32": Number("Angle to the true gradient without stored inputs, float32, mean", "°", factor=_DEGREES),
        "largest_float32": Number("Likewise, largest of any picture", "°", factor=_DEGREES),
        "mean_float64": Number("Angle to the true gradient, float64, mean", "°", factor=_DEGREES),
        "largest_float64": Number("Likewise, float64, largest of any picture", "°", factor=_DEGREES),
    }
    pictures: int = 4
    size: int = 64

    def __post_init__(self) -> None:
        if self.pictures < 1 or self.size < 1:
            raise ValueError(f"pictures and size must be at least 1, got {self.pictures} and {self.size}")

    def run(self, subject: Subject) -> Found:
        """Return mean and largest angle per precision, radians; None where any picture's gradient is not finite."""
        numbers: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        chosen = subject.pictures[: self.pictures]
        for precision, dtype in _PRECISIONS.items():
            network = copy.deepcopy(subject.network).to(dtype)
            objective = subject.flow.kind.objective(network)
            angles = []
            for _, target, seen in progress(chosen, f"gradient angle, {precision}"):
                pair = [side.to(dtype) for side in self._cropped(subject, target, seen)]
                angles.append(gradient_angle(network, lambda objective=objective, pair=pair: objective(*pair)))
            found, why = _summary(angles)
            numbers |= {f"{name}_{precision}": value for name, value in found.items()}
            reasons |= {f"{name}_{precision}": why for name, value in found.items() if value is None}
        return Found(numbers, reasons)

    def _cropped(self, subject: Subject, target: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the centre of both; at least one block of what the network takes."""
        scale, multiple = subject.network.scale, subject.network.multiple
        height, width = (max(multiple, min(side, self.size // scale) // multiple * multiple) for side in seen.shape[2:])
        top, left = (seen.shape[2] - height) // 2, (seen.shape[3] - width) // 2

        def cut(side: Tensor, by: int) -> Tensor:
            return side[:, :, top * by : (top + height) * by, left * by : (left + width) * by]

        return cut(target, scale), cut(seen, 1)


def _summary(angles: list[Angle]) -> tuple[dict[str, Any], str]:
    """Return mean and largest, both None with a reason unless every picture has an angle."""
    radians = [angle.radians for angle in angles if angle.radians is not None]
    if not angles or len(radians) < len(angles):
        reasons = [angle.reason for angle in angles if angle.reason]
        why = f"{reasons[0]} ({len(reasons)} of {len(angles)} pictures)" if reasons else "no picture"
        return {"mean": None, "largest": None}, why
    return {"mean": sum(radians) / len(radians), "largest": max(radians)}, ""
