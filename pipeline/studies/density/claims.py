"""The paper's figures and claims beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from pipeline.reporting.study_page import Agreement, Comparison
from pipeline.studies.density.inputs import TEST

Trials = Sequence[dict[str, Any]]
ByVariant = Mapping[str, Trials]
# Table 1: bits per dimension, train and test, of CIFAR-10 after 100,000 updates
TABLE_1 = {"additive": (3.29, 3.55), "affine": (3.27, 3.51), "modified_affine": (3.25, 3.50)}
_NOISES = ("uniform", "gaussian", "rademacher")
_STABLE = 1e-4  # an error above it is far from that of rounding, some 1e-6 here


def spread(values: Sequence[float | None]) -> str:
    """Return mean and standard deviation over seeds in words, and how many values are not finite."""
    finite = [value for value in values if value is not None]
    lost = len(values) - len(finite)
    if not finite:
        return "not finite"
    text = f"{mean(finite):.3g}" if len(finite) == 1 else f"{mean(finite):.3g} +- {stdev(finite):.1g}"
    return f"{text} ({lost} of {len(values)} seeds not finite)" if lost else text


def most(values: Sequence[float | None]) -> float | None:
    """Return the largest value over seeds, None if there is none that is finite."""
    return max((value for value in values if value is not None), default=None)


def of_sets(own: Trials, kind: str, names: Sequence[str] | None = None) -> list[Any]:
    """Return ``kind`` of every set (but the held-out pictures, unless they are named) and seed."""
    chosen = [name for name in own[0]["errors"] if name != TEST] if names is None else names
    return [one["errors"][name][kind] for one in own for name in chosen if name in one["errors"]]


def comparisons(found: ByVariant, digits: bool) -> list[Comparison]:
    """Return what can be compared for the variants there are; ``digits``: they are the data."""
    lines = []
    note = "digits instead of CIFAR-10, and far shorter trainings: levels of bits cannot be compared, their order can"
    if {"additive", "affine", "modified_affine"} <= set(found):
        bits = {name: [one["test_bits_per_dim"] for one in found[name]] for name in TABLE_1}
        known = all(value is not None for own in bits.values() for value in own)
        gaps = [a - b for a, b in zip(bits["additive"], bits["affine"], strict=True)] if known else []
        lines.append(
            Comparison(
                "B, Table 1",
                "affine couplings explain held-out pictures better than additive ones",
                "3.51 against 3.55 bits per dimension",
                f"{spread(bits['affine'])} against {spread(bits['additive'])}",
                "cannot be told" if not gaps else verdict(sum(gap > 0 for gap in gaps), len(gaps)),
                note if digits else "",
            )
        )
        closer = (
            [abs(a - b) < 0.1 for a, b in zip(bits["modified_affine"], bits["affine"], strict=True)] if known else []
        )
        lines.append(
            Comparison(
                "B, Table 1",
                "a scale in (0.5, 1) costs nothing",
                "3.50 against 3.51 bits per dimension",
                f"{spread(bits['modified_affine'])} against {spread(bits['affine'])}",
                "cannot be told" if not closer else verdict(sum(closer), len(closer)),
                f"taken as agreeing within 0.1 bits per dimension; {note}" if digits else "",
            )
        )
    for variant, own in found.items():
        if variant in TABLE_1:
            lines.append(_samples_as_told(variant, own))
    if "affine" in found:
        lines.append(_unfamiliar("affine", found["affine"]))
    if "residual" in found:
        lines.append(_unfamiliar("residual", found["residual"]))
    lines += [_attack(variant, found[variant]) for variant in ("affine", "residual") if variant in found]
    return lines


def _samples_as_told(variant: str, own: Trials) -> Comparison:
    faults = [one["unreliable"] > 0 or one["visible"] > 0 for one in own]
    fails = variant == "affine"
    return Comparison(
        "B, Table 1",
        f"{variant}: samples with reliable bits per dimension and no visible reconstruction error",
        "no" if fails else "yes",
        f"{sum(not fault for fault in faults)} of {len(faults)} seeds",
        verdict(sum(fault == fails for fault in faults), len(faults)),
        "" if fails else "over the samples drawn; rare ones may be missed",
    )


def _unfamiliar(variant: str, own: Trials) -> Comparison:
    broken = mean(of_sets(own, "nonfinite", _NOISES))
    sizes = [most(of_sets([one], "largest")) for one in own]
    fails = variant == "affine"
    unstable = [
        value is None or value > _STABLE or any(of_sets([one], "nonfinite"))
        for value, one in zip(sizes, own, strict=True)
    ]
    familiar = most(of_sets(own, "largest", (TEST,)))
    agrees = verdict(sum(bad == fails for bad in unstable), len(unstable))
    if fails and agrees == "yes" and broken < 1:
        agrees = "partly"
    return Comparison(
        "B, Fig. 4",
        f"{variant}: inputs unlike the data",
        "all noise gives inf, and 25 to 39 % of other photographs, where held-out pictures have 6e-5"
        if fails
        else "none gives inf; errors up to 7e-2 (its fixed points are not iterated to convergence)",
        f"{broken:.1%} of noise not finite; largest errors per seed: "
        + ", ".join("none finite" if value is None else f"{value:.1e}" for value in sizes)
        + f"; held-out pictures {'not finite' if familiar is None else format(familiar, '.1e')}",
        agrees,
        f"an error above {_STABLE:g} is taken as unstable; couplings here are far fewer" if fails else "",
    )


def _attack(variant: str, own: Trials) -> Comparison:
    fails = variant == "affine"
    after = [one["attack_after"] for one in own]
    before = most([one["attack_before"] for one in own])
    broken = mean(one["attack_nonfinite"] for one in own)
    unstable = [
        one["attack_nonfinite"] > 0 or (one["attack_after"] is not None and one["attack_after"] > _STABLE)
        for one in own
    ]
    return Comparison(
        "B, Fig. 11",
        f"{variant}: the attack inside of the dequantization box",
        "reconstructions become NaN" if fails else "stays stable",
        f"{broken:.0%} not finite; largest errors {spread(after)}, at the start "
        f"{'not finite' if before is None else format(before, '.1e')}",
        verdict(sum(bad == fails for bad in unstable), len(unstable)),
        "CelebA at 64 x 64 and 16 blocks at each of 4 scales there",
    )


def verdict(agreeing: int, seeds: int) -> Agreement:
    """Return "yes" if all seeds agree, "no" if none does, else "partly"."""
    return "yes" if agreeing == seeds else "no" if not agreeing else "partly"
