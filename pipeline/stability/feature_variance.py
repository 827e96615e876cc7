"""Variance of the features after every layer of the inverse pass (paper A, Fig. 3 and appendix Fig. 2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.flow.bijection import Bijection
from models.flow.observing import observe_inverse
from models.flow.place import Place
from pipeline.console import progress
from pipeline.stability.analysis import IN_DISTRIBUTION, Findings, Subject, finite_or_none
from pipeline.stability.growth import growth_by_kind


def feature_variance(subject: Subject) -> Findings:
    """Return the variance over draws, channels and pixels after each layer, averaged over in-distribution inputs.

    Numbers: the largest variance of any layer for held-out pictures and for stress inputs, and their ratio
    ("exploding variance" is a large one), and how much more each kind of layer lets features grow on stress inputs
    (``growth_<kind>``). A layer whose features are not all finite has no variance: its field stays empty.
    """
    curves: dict[str, list[list[float]]] = {}
    places: list[Place] = []
    for condition, name, lr in progress(subject.inputs(), "feature variance"):
        places, values = _variances(subject, lr, name)
        curves.setdefault(condition, []).append(values)
    means = {condition: torch.tensor(runs, dtype=torch.float64).mean(0).tolist() for condition, runs in curves.items()}
    rows: list[dict[str, Any]] = [
        {"index": index, "layer": label, "condition": condition, "variance": finite_or_none(values[index])}
        for condition, values in means.items()
        for index, label in enumerate(["latent", *map(str, places)])
    ]
    inside = max(means.get(IN_DISTRIBUTION, [float("nan")]))
    outside = max((max(values) for condition, values in means.items() if condition != IN_DISTRIBUTION), default=0.0)
    broken = [c for c, values in means.items() if not all(map(_finite, values))]
    numbers = {
        "largest_in_distribution": finite_or_none(inside),
        "largest_stress": None if any(c != IN_DISTRIBUTION for c in broken) else finite_or_none(outside),
        "stress_inputs_with_nonfinite_features": float(len([c for c in broken if c != IN_DISTRIBUTION])),
    }
    if numbers["largest_in_distribution"] and numbers["largest_stress"] is not None:
        numbers["largest_ratio"] = numbers["largest_stress"] / numbers["largest_in_distribution"]
    else:
        numbers["largest_ratio"] = None
    growth = growth_by_kind(places, means) if IN_DISTRIBUTION in means else {}
    numbers |= {f"growth_{kind}": finite_or_none(factor) for kind, factor in growth.items()}
    why = f"non-finite features for {', '.join(broken)}" if broken else "it exceeds what a float holds"
    reasons = {name: why for name, value in numbers.items() if value is None}
    return Findings(numbers, reasons, {"feature_variance.csv": (["index", "layer", "condition", "variance"], rows)})


@torch.no_grad()
def _variances(subject: Subject, lr: Tensor, name: str) -> tuple[list[Place], list[float]]:
    """Return the places of the layers in inverse order, and the variance of the latent and after each of them."""
    places: list[Place] = []
    values: list[float] = []

    def observe(layer: Bijection, output: Tensor) -> None:
        if layer.place:
            places.append(layer.place)
            values.append(float(output.double().var()))

    padded, condition = subject.condition(lr)
    z = subject.latents(padded, name)
    values.append(float(z.double().var()))
    with observe_inverse(observe):
        subject.network.inverse(z, condition)
    return places, values


def _finite(value: float) -> bool:
    return finite_or_none(value) is not None
