"""The verdict of an audit: safe, borderline or will explode; which layers, on which inputs, and what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.stability.advice import ADVICE
from pipeline.stability.analyses.bad_pixels import STRESS_TABLE
from pipeline.stability.analyses.feature_variance import VARIANCE_TABLE
from pipeline.stability.evidence import Analyses, Evidence, evidence, worst
from pipeline.stability.measure.growth import LayerGrowth, growth_by_layer
from pipeline.stability.stress import OWN
from pipeline.stability.subject import IN_DISTRIBUTION

Rows = Sequence[Mapping[str, Any]]
# By how much one layer changes the standard deviation: on photographs, layers of the trained demo flows do by up to
# 1.3 times; beyond photographs, those of flows whose draws stay in range by up to 3.
LAYER_GROWTH_ON_PHOTOGRAPHS, LAYER_GROWTH = 10.0, 3.0
_SHOWN = 3  # layers and inputs


def verdict(analyses: Analyses, tables: Mapping[str, Rows]) -> dict[str, Any]:
    """Return what summary.json holds under ``verdict`` (docs/architecture.md).

    ``analyses``: the numbers of those that have run; ``tables``: their rows by file name.
    """
    found = evidence(analyses)
    level = worst(found)
    layers = worst_layers(tables.get(VARIANCE_TABLE, ()))
    bounded = analyses.get("certified_bound", {}).get("displacement") is not None
    return {
        "level": level,
        "blind_level": worst(evidence(analyses, blind=True)),
        "why": [item.words for item in found if item.level == level],
        "layers": [
            {"layer": g.layer, "factor": g.factor, "at_least": g.at_least, "input": g.condition} for g in layers
        ],
        "inputs": worst_inputs(tables.get(STRESS_TABLE, ())),
        "advice": advice([item for item in found if item.level == level], layers, bounded),
    }


def worst_layers(rows: Rows) -> list[LayerGrowth]:
    """Return the layers that let features grow most, from the rows of feature_variance.csv; the worst comes first.

    A layer that does so on photographs already is named for that, any other for what it does beyond photographs. Of
    equal ones the first in the inverse pass comes first: those behind it see what it made.
    """
    variances: dict[str, list[float | None]] = {}
    for row in rows:
        variances.setdefault(row["condition"], []).append(row["variance"])
    layers = [row["layer"] for row in rows if row["condition"] == rows[0]["condition"]][1:]  # the first is the latent
    named = []
    for inside, beyond in growth_by_layer(layers, variances):
        if IN_DISTRIBUTION in variances and inside.factor >= LAYER_GROWTH_ON_PHOTOGRAPHS:
            named.append(inside)
        elif beyond and beyond.factor >= LAYER_GROWTH:
            named.append(beyond)
    return sorted(named, key=lambda growth: -growth.factor)[:_SHOWN]


def worst_inputs(rows: Rows) -> list[dict[str, Any]]:
    """Return the worst inputs with bad values, from the rows of stress.csv, and of somebody's own all that have any.

    Those with the largest share come first.
    """
    bad = sorted((row for row in rows if row["bad_share"] > 0), key=lambda row: -row["bad_share"])
    names = ("name", "kind", "bad_share", "nonfinite_values", "largest")
    return [{name: row[name] for name in names} for i, row in enumerate(bad) if i < _SHOWN or row["kind"] == OWN]


def advice(found: Sequence[Evidence], layers: Sequence[LayerGrowth], bounded: bool) -> list[str]:
    """Return what to try: against what the layers do, then against the other causes. No line comes twice.

    ``bounded``: the couplings' displacement is, so that another transform is no remedy.
    """
    roles = [_role(growth.layer) for growth in layers]
    if bounded:
        roles = ["bounded coupling" if "coupling" in role or role == "injector" else role for role in roles]
    causes = [*roles, *(item.cause for item in found)]
    return list(dict.fromkeys(ADVICE[cause] for cause in causes if cause))


def verdict_lines(content: Mapping[str, Any]) -> list[str]:
    """Return a verdict as lines for people."""
    layers = [_layer_words(layer) for layer in content["layers"]]
    inputs = [f"{entry['name']} ({entry['bad_share']:.3%} of the values bad)" for entry in content["inputs"]]
    parts = {"why": content["why"], "layers": layers, "inputs": inputs, "try": content["advice"]}
    lines = [f"verdict: {content['level']}"]
    for head, texts in parts.items():
        lines += [f"  {'' if index else head + ':':8}{text}" for index, text in enumerate(texts)]
    return lines


def _layer_words(layer: Mapping[str, Any]) -> str:
    times = f"{'at least ' if layer['at_least'] else ''}{layer['factor']:.3g} times"
    if layer["input"] == IN_DISTRIBUTION:
        return f"{layer['layer']}: features grow {times} on photographs"
    return f"{layer['layer']}: features grow {times} as on photographs ({layer['input']})"


def _role(layer: str) -> str:
    """Return what a layer does, a key of ADVICE, from its place in words; nothing for one that has no advice."""
    return max((cause for cause in ADVICE if layer.endswith(cause)), key=len, default="")
