"""Variance of the features after every layer of the inverse pass (paper A, Fig. 3 and appendix Fig. 2)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.flow.bijection import Bijection
from models.flow.observing import observe_inverse
from models.flow.place import Place
from pipeline.console import progress
from pipeline.stability.contract import Analysis, Curves, Found, Number
from pipeline.stability.measure.growth import growth_by_kind
from pipeline.stability.subject import IN_DISTRIBUTION, Subject, finite_or_none

VARIANCE_TABLE = "feature_variance.csv"


@dataclasses.dataclass(frozen=True)
class FeatureVariance(Analysis):
    """Variance over draws, channels and pixels after each layer, averaged over in-distribution inputs.

    "Exploding variance" is a large one on stress inputs.
    """

    name: ClassVar = "feature_variance"
    title: ClassVar = "Variance of the features"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "largest_in_distribution": Number("Largest feature variance, photographs"),
        "largest_stress": Number("Largest feature variance, stress inputs"),
        "largest_ratio": Number("Largest feature variance, stress / photographs"),
        "growth_<kind>": Number(
            "Growth on stress inputs beyond photographs, {}",
            "times",
            members={
                "coupling": "couplings",
                "noise_coupling": "noise couplings",
                "injector": "injectors",
                "split": "split's prior",
                "1x1": "1x1 convolutions",
                "actnorm": "activation norms",
            },
        ),
        "stress_inputs_with_nonfinite_features": Number("Stress inputs with features that are not finite", "inputs"),
    }
    tables: ClassVar = {VARIANCE_TABLE: ("index", "layer", "level", "condition", "kind", "variance")}
    plots: ClassVar = (
        Curves(
            name="feature_variance",
            caption="After every layer of the inverse pass, from latent to picture (Hong et al., ICCV 2023, Fig. 3). "
            "Lines that climb by orders of magnitude are exploding inverses.",
            alt="Variance of the features after every layer of the inverse pass, one panel per variant",
            table=VARIANCE_TABLE,
            x="index",
            y="variance",
            line="condition",
            group="kind",
            x_title="layer of the inverse pass, from latent to picture",
            y_title="variance of the features",
            stretch="level",
            reference=IN_DISTRIBUTION,
            reference_title="held-out photographs",
        ),
    )

    def run(self, subject: Subject) -> Found:
        """Return the largest variance of any layer for held-out pictures and for stress inputs, their ratio, and how
        much more each kind of layer lets features grow on stress inputs (``growth_<kind>``).

        A layer whose features are not all finite has no variance: its field of the table stays empty.
        """
        curves: dict[str, list[list[float]]] = {}
        kinds: dict[str, str] = {}
        places: list[Place] = []
        for condition, kind, name, seen in progress(subject.inputs(), "feature variance"):
            places, values = _variances(subject, seen, name)
            kinds[condition] = kind
            curves.setdefault(condition, []).append(values)
        means = {c: torch.tensor(runs, dtype=torch.float64).mean(0).tolist() for c, runs in curves.items()}
        layers = [("latent", ""), *((str(place), str(place.level or "")) for place in places)]
        rows: list[dict[str, Any]] = [
            {
                "index": index,
                "layer": layer,
                "level": level,
                "condition": condition,
                "kind": kinds[condition],
                "variance": finite_or_none(values[index]),
            }
            for condition, values in means.items()
            for index, (layer, level) in enumerate(layers)
        ]
        growth = growth_by_kind(places, means) if IN_DISTRIBUTION in means else {}
        return Found(*_numbers(means, growth), {VARIANCE_TABLE: rows})


def _numbers(
    means: Mapping[str, Sequence[float]], growth: Mapping[str, float]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the numbers, and the reasons of those that are None."""
    stress = [values for condition, values in means.items() if condition != IN_DISTRIBUTION]
    broken = sum(not all(map(math.isfinite, values)) for values in stress)
    inside = _largest(means.get(IN_DISTRIBUTION, [math.nan]))
    outside = math.nan if broken else max(map(_largest, stress), default=0.0)
    numbers = {
        "largest_in_distribution": finite_or_none(inside),
        "largest_stress": finite_or_none(outside),
        "largest_ratio": finite_or_none(outside / inside) if inside else None,
        **{f"growth_{kind}": finite_or_none(factor) for kind, factor in growth.items()},
        "stress_inputs_with_nonfinite_features": float(broken),
    }
    on_photographs = "not finite on photographs"
    if broken:
        why = f"not finite ({broken} of {len(stress)} inputs)"
    else:
        why = "more than a float holds" if math.isfinite(inside) else on_photographs
    reasons = {name: why for name, value in numbers.items() if value is None}
    if "largest_in_distribution" in reasons:
        reasons["largest_in_distribution"] = on_photographs
    return numbers, reasons


def _largest(values: Sequence[float]) -> float:
    # max() of a list with NaN depends on the order
    return max(values) if all(map(math.isfinite, values)) else math.nan


@torch.no_grad()
def _variances(subject: Subject, seen: Tensor, name: str) -> tuple[list[Place], list[float]]:
    """Return the places of the layers in inverse order, and the variance of the latent and after each of them."""
    places: list[Place] = []
    values: list[float] = []

    def observe(layer: Bijection, output: Tensor) -> None:
        if layer.place:
            places.append(layer.place)
            values.append(float(output.double().var()))

    padded, condition = subject.condition(seen)
    z = subject.latents(padded, name)
    values.append(float(z.double().var()))
    with observe_inverse(observe):
        subject.network.inverse(z, condition)
    return places, values
