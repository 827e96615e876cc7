"""What paper B looks at in a trained classifier: accuracy, invertibility, singular values, and gradients' angles.

A value that is not finite, or was not found, is None. Singular values are of the Jacobian of pictures to features, in
a float64 copy; reconstruction is in the precision of training, float32, since that is where inverses fail.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.lab.classifier import InvertibleClassifier
from pipeline.stability.measure.gradient_angle import gradient_angle
from pipeline.stability.measure.jacobian import float64_copy
from pipeline.stability.measure.spectrum import Extreme, Extremes, exact_extremes, extreme_singular_values

EXACT = 1024  # values of a picture up to which the whole Jacobian is decomposed; above it Lanczos finds the extremes
_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
Batch = tuple[Tensor, Tensor]  # pictures (B, C, S, S), normalized, and classes (B,)


class Measured(NamedTuple):
    """``values`` by name; ``reasons`` for those that are None."""

    values: dict[str, float | None]
    reasons: dict[str, str]


@torch.no_grad()
def test_set(network: InvertibleClassifier, batches: Iterable[Batch]) -> Measured:
    """Return accuracy, percent, and how far the inverse takes test pictures' features from the pictures.

    reconstruction, reconstruction_largest: mean and largest Euclidean norm per picture, normalized values, None if any
    is not finite; reconstruction_nonfinite: percent of the pictures of which it is not.
    """
    network = copy.deepcopy(network).eval()
    right, errors = [], []
    for x, labels in batches:
        z, _, logits = network.classify(x)
        right.append(logits.argmax(1) == labels)
        errors.append(torch.linalg.vector_norm((network.inverse(z)[0] - x).flatten(1).double(), dim=1))
    error = torch.cat(errors)
    bad = int((~error.isfinite()).sum())
    values: dict[str, float | None] = {
        "accuracy": 100.0 * float(torch.cat(right).double().mean()),
        "reconstruction": None if bad else float(error.mean()),
        "reconstruction_largest": None if bad else float(error.max()),
        "reconstruction_nonfinite": 100.0 * bad / len(error),
    }
    why = f"not finite for {bad} of {len(error)} pictures"
    return Measured(values, {name: why for name, value in values.items() if value is None})


def conditioning(network: InvertibleClassifier, pictures: Tensor, what: str = "") -> Measured:
    """Return what the singular values at ``pictures`` ``(N, C, S, S)``, normalized, tell.

    least and largest: of any picture; condition: the median over pictures of largest / least, condition_worst: the
    largest. A picture without a value counts as the worst there is. ``what`` names the progress of Lanczos.
    """
    exact = pictures[0].numel() <= EXACT
    copied = float64_copy(network)
    found: list[Extremes] = []
    for number, picture in enumerate(pictures.double().split(1)):
        shown = f"{what}, picture {number + 1}" if what else ""
        found.append(exact_extremes(copied, picture) if exact else extreme_singular_values(copied, picture, what=shown))
    least, largest, conditions = (
        [getattr(one, kind) for one in found] for kind in ("least", "largest", "condition_number")
    )
    values = {
        "least": _extreme(least, min, 0.0),
        "largest": _extreme(largest, max, math.inf),
        "condition": _extreme(conditions, median, math.inf),
        "condition_worst": _extreme(conditions, max, math.inf),
    }
    missing = [one for one in conditions if one.value is None]
    why = f"{missing[0].reason} at {len(missing)} of {len(found)} pictures" if missing else ""
    return Measured(values, {name: why for name, value in values.items() if value is None})


def _extreme(found: Sequence[Extreme], choose: object, worst: float) -> float | None:
    value = choose([worst if one.value is None else one.value for one in found])  # type: ignore[operator]
    missing = any(one.value is None for one in found) and value == worst
    return None if missing or not math.isfinite(value) else float(value)


def gradient_angles(network: InvertibleClassifier, batches: Sequence[Batch]) -> Measured:
    """Return the mean angle, radians, between true gradients of the cross-entropy and memory-saving ones.

    As in appendix G: of the parameters of the flow, in eval mode, and of reversible gradients that nothing protects;
    angle_float32 as networks are trained, angle_float64 in a copy. None if any batch has none.
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for precision, dtype in _PRECISIONS.items():
        copied = copy.deepcopy(network).to(dtype).eval()
        angles = [
            gradient_angle(copied, lambda: F.cross_entropy(copied.classify(x).logits, labels), copied.flow.parameters())  # noqa: B023
            for x, labels in ((x.to(dtype), labels) for x, labels in batches)
        ]
        radians = [one.radians for one in angles if one.radians is not None]
        name = f"angle_{precision}"
        values[name] = sum(radians) / len(radians) if len(radians) == len(angles) else None
        if values[name] is None:
            reasons[name] = next(one.reason for one in angles if one.reason)
    return Measured(values, reasons)
