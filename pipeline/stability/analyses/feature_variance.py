"""Variance of the features after every layer of either pass (paper A, Fig. 3 and appendix Fig. 2: of the inverse)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from models.flow.place import Place
from pipeline.console import progress
from pipeline.stability.contract import Analysis, Curves, Found, Number
from pipeline.stability.measure.growth import growth_by_kind
from pipeline.stability.measure.variances import Variances, variances
from pipeline.stability.subject import IN_DISTRIBUTION, Input, Subject, finite_or_none

VARIANCE_TABLE = "feature_variance.csv"
FORWARD_TABLE = "feature_variance_forward.csv"
_COLUMNS = ("index", "layer", "level", "condition", "kind", "variance")
_BROKEN = "stress_inputs_with_nonfinite_features"
_ON_PHOTOGRAPHS = "not finite on photographs"


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
        "forward_largest_in_distribution": Number("Largest feature variance, forward, photographs"),
        "forward_largest_stress": Number("Largest feature variance, forward, draws on stress inputs"),
        "forward_largest_ratio": Number("Largest feature variance, forward, stress / photographs"),
        "stress_inputs_without_finite_draw": Number("Stress inputs of which no draw could be sent forward", "inputs"),
    }
    tables: ClassVar = {VARIANCE_TABLE: _COLUMNS, FORWARD_TABLE: _COLUMNS}
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
        Curves(
            name="feature_variance_forward",
            caption="After every layer of the forward pass, from picture to latent, which training sees: of held-out "
            "photographs, and of the draws on stress inputs that are finite. Lines that climb are layers that enlarge "
            "what their inverses shrink.",
            alt="Variance of the features after every layer of the forward pass, one panel per variant",
            table=FORWARD_TABLE,
            x="index",
            y="variance",
            line="condition",
            group="kind",
            x_title="layer of the forward pass, from picture to latent",
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
        targets = {name: target for name, target, _ in subject.pictures}
        back, there = _Pass("latent"), _Pass("picture")
        stuck = 0
        for each in progress(subject.inputs(), "feature variance"):
            padded, condition = subject.condition(each.seen)
            z = subject.latents(padded, each.name)
            inverse = variances(subject.network, z, condition, "inverse")
            back.add(each, inverse)
            drawn = inverse.output[inverse.output.flatten(1).isfinite().all(1)]
            x = targets[each.name] if each.condition == IN_DISTRIBUTION else drawn
            stuck += not len(x)
            if len(x):
                there.add(each, variances(subject.network, x, condition, "forward"))
        means = back.means()
        numbers, reasons = _numbers(means)
        growth = growth_by_kind(back.places, means) if IN_DISTRIBUTION in means else {}
        grown = {f"growth_{kind}": finite_or_none(factor) for kind, factor in growth.items()}
        reasons |= {name: _why(means) for name, factor in grown.items() if factor is None}
        forward, forward_reasons = _numbers(there.means())
        forward.pop(_BROKEN)  # what goes forward began finite; a number of its own says of how many none did
        numbers |= {**grown, **{f"forward_{name}": value for name, value in forward.items()}}
        numbers["stress_inputs_without_finite_draw"] = float(stuck)
        reasons |= {f"forward_{name}": reason for name, reason in forward_reasons.items()}
        return Found(numbers, reasons, {VARIANCE_TABLE: back.rows(), FORWARD_TABLE: there.rows()})


class _Pass:
    """What one direction of all inputs has shown; ``start``: what goes in."""

    def __init__(self, start: str) -> None:
        self.start = start
        self.places: list[Place] = []
        self.kinds: dict[str, str] = {}
        self.curves: dict[str, list[list[float]]] = {}

    def add(self, of: Input, found: Variances) -> None:
        self.places = found.places
        self.kinds[of.condition] = of.kind
        self.curves.setdefault(of.condition, []).append(found.values)

    def means(self) -> dict[str, list[float]]:
        return {c: torch.tensor(runs, dtype=torch.float64).mean(0).tolist() for c, runs in self.curves.items()}

    def rows(self) -> list[dict[str, Any]]:
        layers = [(self.start, ""), *((str(place), self._level(place)) for place in self.places)]
        return [
            dict(zip(_COLUMNS, (index, layer, level, condition, self.kinds[condition], variance), strict=True))
            for condition, values in self.means().items()
            for index, ((layer, level), variance) in enumerate(zip(layers, map(finite_or_none, values), strict=True))
        ]

    def _level(self, place: Place) -> str:
        # going forward, what leaves a split is the whole latent, behind the layers of all levels
        return "" if self.start == "picture" and place.role == "split" else str(place.level or "")


def _numbers(means: Mapping[str, Sequence[float]]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the numbers of one direction, and the reasons of those that are None."""
    stress = [values for condition, values in means.items() if condition != IN_DISTRIBUTION]
    broken = sum(not all(map(math.isfinite, values)) for values in stress)
    inside = _largest(means.get(IN_DISTRIBUTION, [math.nan]))
    outside = math.nan if broken else max(map(_largest, stress), default=math.nan)
    numbers = {
        "largest_in_distribution": finite_or_none(inside),
        "largest_stress": finite_or_none(outside),
        "largest_ratio": finite_or_none(outside / inside) if inside else None,
        _BROKEN: float(broken),
    }
    reasons = {name: _why(means) for name, value in numbers.items() if value is None}
    if "largest_in_distribution" in reasons:
        reasons["largest_in_distribution"] = _ON_PHOTOGRAPHS
    return numbers, reasons


def _why(means: Mapping[str, Sequence[float]]) -> str:
    """Return why a number that compares stress inputs with photographs is None."""
    stress = [values for condition, values in means.items() if condition != IN_DISTRIBUTION]
    if not stress:
        return "no stress input to go by"
    if broken := sum(not all(map(math.isfinite, values)) for values in stress):
        return f"not finite ({broken} of {len(stress)} inputs)"
    inside = _largest(means.get(IN_DISTRIBUTION, [math.nan]))
    return "more than a float holds" if math.isfinite(inside) else _ON_PHOTOGRAPHS


def _largest(values: Sequence[float]) -> float:
    # max() of a list with NaN depends on the order
    return max(values) if all(map(math.isfinite, values)) else math.nan
