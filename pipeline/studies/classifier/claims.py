"""Paper B's claims on its classifiers, each judged by a rule on our trials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from pipeline.reporting.study_page import Agreement, Comparison
from pipeline.studies.classifier.options import VARIANTS, Options
from pipeline.studies.classifier.paper import TABLE_11
from pipeline.studies.classifier.tables import SHOWN, Trials, accuracy, power, spread

Rows = dict[tuple[str, str], Mapping[str, Any]]
CLOSE = 1.0  # points of accuracy
FAR = 10.0  # a factor that counts as a difference, for what spans orders of magnitude
ALIKE = 3.0  # one that does not
COST = 0.2  # relative difference of costs that still agrees


class Evidence:
    """Trials and their summary, as the claims ask for them."""

    def __init__(self, study: Options, trials: Trials, found: Trials, cost: Mapping[str, Any]) -> None:
        self.study, self.found, self.cost = study, found, cost
        self.trials = [one for one in trials if one["diverged"] is None]
        self.core = VARIANTS[study.core]

    def line(self, coupling: str, regularizer: str, **other: Any) -> Mapping[str, Any] | None:
        """Return the summary of a row of Table 2 at the core's permutation."""
        rows = [
            row
            for row in self.found
            if (row["coupling"], row["permutation"], row["regularizer"]) == (coupling, self.core[1], regularizer)
        ]
        # rows of Table 2 come before those of the sweeps
        return next((row for row in rows if all(row[name] == value for name, value in other.items())), None)

    def by_seed(self, line: Mapping[str, Any] | None, measure: str) -> dict[int, float]:
        """Return a measure of a row's seeds; what is not finite is inf, of the smallest singular value 0."""
        worst = 0.0 if measure == "least" else math.inf
        return {one["seed"]: worst if one[measure] is None else one[measure] for one in self._own(line)}

    def throughout(self, line: Mapping[str, Any] | None, measure: str) -> dict[int, float]:
        """Return the largest value of a measure along the trainings of a row, per seed; inf where one is not finite."""
        own = self._own(line)
        return {one["seed"]: max(row.get(measure, math.inf) for row in one["curve"]) for one in own if one["curve"]}

    def _own(self, line: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
        same = ("coupling", "permutation", "regularizer", "weight", "every")
        return [one for one in self.trials if line and all(one[name] == line[name] for name in same)]

    def worse(self, line: Mapping[str, Any] | None, than: Mapping[str, Any] | None, measure: str) -> list[bool]:
        """Return per seed that both have whether ``line`` is worse than the other row."""
        first, second = self.by_seed(line, measure), self.by_seed(than, measure)
        sign = -1.0 if measure == "least" else 1.0
        return [sign * first[seed] > sign * second[seed] for seed in first if seed in second]


def comparisons(study: Options, trials: Trials, found: Trials, cost: Mapping[str, Any]) -> list[Comparison]:
    """Return every claim of the paper beside what our trials say."""
    evidence = Evidence(study, trials, found, cost)
    return [claim(evidence) for claim in CLAIMS]


def judged(holds: Sequence[bool]) -> Agreement:
    """Return "yes" where all hold, "no" where none does; without any, nothing can be told."""
    if not holds:
        return "cannot be told"
    return "yes" if all(holds) else "partly" if any(holds) else "no"


def _order(evidence: Evidence) -> Comparison:
    coupling = evidence.core[0]
    none, fd, nf = (evidence.line(coupling, name) for name in ("none", "fd", "nf"))
    measures = {"condition_worst": "condition number", "least": "smallest singular value", "reconstruction": "recon."}
    holds = [ok for m in measures for other in (fd, nf) for ok in evidence.worse(none, other, m)]
    ours = "; ".join(
        f"{SHOWN[row['regularizer']]}: " + ", ".join(f"{text} {spread(row, m)}" for m, text in measures.items())
        for row in (none, fd, nf)
        if row is not None
    )
    return Comparison(
        "B, Table 2",
        f"{evidence.study.core}: unregularized is worse than FD and NF in condition number, smallest singular value "
        "and reconstruction",
        "8.6e14, 1.9e-12, Inf; FD 1.6e2, 9.6e-2, 9.6e-4; NF 2.2e3, 3.5e-2, 1.3e-3",
        ours,
        judged(holds),
        f"{sum(holds)} of {len(holds)} pairs of equal seeds are in the paper's order",
    )


def _lost(evidence: Evidence) -> Comparison:
    line = evidence.line(evidence.core[0], "none")
    other = evidence.line(evidence.core[0], "fd")
    errors, safe = evidence.by_seed(line, "reconstruction"), evidence.by_seed(other, "reconstruction")
    agrees: Agreement = "cannot be told"
    if errors and safe:
        gone = [not math.isfinite(error) for error in errors.values()]
        apart = min(errors.values()) >= FAR * max(safe.values())
        agrees = "yes" if all(gone) else "partly" if any(gone) or apart else "no"
    count = sum(not math.isfinite(error) for error in errors.values())
    ours = (
        "no trial"
        if line is None
        else f"{spread(line, 'reconstruction')}, largest {spread(line, 'reconstruction_largest')}"
    )
    lost = f"reconstruction is not finite in {count} of {len(errors)} seeds"
    return Comparison(
        "B, Table 2",
        f"{evidence.study.core}, unregularized: its inverse is lost",
        "reconstruction error Inf, smallest singular value 1.9e-12",
        ours,
        agrees,
        f"{lost}; partly: in some, or {FAR:g} times as large as any with FD",
    )


def _additive(evidence: Evidence) -> Comparison:
    additive, affine = (evidence.line(coupling, "none") for coupling in ("additive", "affine"))
    holds = [ok for m in ("condition_worst", "least", "reconstruction") for ok in evidence.worse(affine, additive, m)]
    lines = [line for line in (additive, affine) if line is not None]
    ours = "; ".join(
        f"{line['coupling']}: {spread(line, 'condition_worst')}, {spread(line, 'reconstruction')}" for line in lines
    )
    return Comparison(
        "B, Table 2",
        "unregularized additive couplings stay invertible where affine ones do not (condition number, reconstruction)",
        "additive: 7.2e4, 4.3e-2; affine: 8.6e14, Inf",
        ours,
        judged(holds),
        f"{sum(holds)} of {len(holds)} pairs of equal seeds",
    )


def _accuracy(evidence: Evidence) -> Comparison:
    lines = {name: evidence.line(evidence.core[0], name) for name in ("none", "fd", "nf")}
    means = {
        n: mean(evidence.by_seed(line, "accuracy").values())
        for n, line in lines.items()
        if line and line["accuracy_mean"]
    }
    holds = [means[name] - means["none"] >= -CLOSE for name in ("fd", "nf") if {"none", name} <= means.keys()]
    return Comparison(
        "B, Table 2",
        f"{evidence.study.core}: regularizers cost no accuracy",
        "none 89.07 %, FD 89.47 %, NF 89.71 %",
        ", ".join(f"{SHOWN[name]} {accuracy(line)} %" for name, line in lines.items() if line),
        judged(holds),
        f"agrees: at most {CLOSE:g} point below unregularized",
    )


def _weights(evidence: Evidence) -> Comparison:
    own = _swept(evidence, "fd")
    # a lost inverse is the worst condition; a training that diverged has none to compare
    ended = [row for row in own if row["diverged"] < row["seeds"]]
    values = [row["condition_worst_median"] or math.inf for row in ended]
    holds = [small >= large for small, large in itertools.pairwise(values)]
    ours = ", ".join(f"{row['weight']:g}: {spread(row, 'condition_worst')}" for row in own)
    paper = "1e-4: 1.6e2, 1e-3: 4.2e1 (and 5e-5 was too small to stabilize)"
    return Comparison("B, Table 9", "FD: a larger weight, a smaller condition number", paper, ours, judged(holds))


def _strong(evidence: Evidence) -> Comparison:
    own, none = _swept(evidence, "nf"), evidence.line(evidence.core[0], "none")
    ours, holds = "no trial", []
    if len(own) > 1 and none and none["accuracy_mean"] and own[-1]["accuracy_mean"]:
        holds = [own[-1]["accuracy_mean"] < none["accuracy_mean"] - CLOSE]
        ours = f"{accuracy(own[-1])} % at {own[-1]['weight']:g}, {accuracy(none)} % unregularized"
    paper = "83.28 % at 1e-3, 89.07 % unregularized"
    return Comparison(
        "B, Table 9",
        "NF: too large a weight costs accuracy",
        paper,
        ours,
        judged(holds),
        f"agrees: more than {CLOSE:g} point",
    )


def _swept(evidence: Evidence, regularizer: str) -> list[Mapping[str, Any]]:
    """Return the core's rows of a regularizer at Table 2's frequency, by weight."""
    first = evidence.line(evidence.core[0], regularizer)
    rows = [
        row
        for row in evidence.found
        if first is not None
        and all(row[name] == first[name] for name in ("coupling", "permutation", "regularizer", "every"))
    ]
    return sorted(rows, key=lambda row: float(row["weight"]))


def _frequency(evidence: Evidence) -> Comparison:
    first = evidence.line(evidence.core[0], "fd")
    rows = [first] if first else []
    rows += [row for row in evidence.found if first and _same(row, first, "weight") and row["every"] != first["every"]]
    values = [row["condition_worst_median"] or math.inf for row in rows]
    none = evidence.line(evidence.core[0], "none")
    far = (none and none["condition_worst_median"]) or math.inf
    holds = [
        max(one, values[0]) <= ALIKE * min(one, values[0]) or max(one, values[0]) * FAR <= far for one in values[1:]
    ]
    return Comparison(
        "B, appendix G",
        "FD in every 5th or 10th step stabilizes as well as in every one",
        '"performed similarly"',
        ", ".join(f"every {row['every']}: {power(row['condition_worst_median'])}" for row in rows),
        judged(holds),
        f"condition number; agrees: within a factor of {ALIKE:g}, or all {FAR:g} times below unregularized",
    )


def _same(row: Mapping[str, Any], other: Mapping[str, Any], *names: str) -> bool:
    return all(row[name] == other[name] for name in ("coupling", "permutation", "regularizer", *names))


def _cost(evidence: Evidence) -> Comparison:
    ours = {k: evidence.cost[f"overhead_{k}"] for k in TABLE_11}
    holds = [abs(ours[k] / theirs - 1) <= COST for k, theirs in TABLE_11.items()]
    return Comparison(
        "B, Table 11",
        "cost of FD in every K-th step, with memory-saving gradients",
        ", ".join(f"K = {k}: {theirs:g}×" for k, theirs in TABLE_11.items()),
        ", ".join(f"K = {k}: {factor:.2f}×" for k, factor in ours.items()),
        judged(holds),
        f"agrees: within {COST:.0%} each",
    )


def _angle(evidence: Evidence) -> Comparison:
    lines = [evidence.line(evidence.core[0], name) for name in ("none", "fd", "nf")]
    angles = [evidence.throughout(line, "angle_float32") for line in lines]
    none, *others = angles
    agrees: Agreement = "cannot be told"
    if none and all(others):
        safe = max(max(other.values()) for other in others)
        apart = [value >= FAR * safe for value in none.values()]
        gone = [not math.isfinite(value) for value in none.values()]
        agrees = "yes" if all(gone) else "partly" if all(apart) or any(gone) else "no"
    ours = [
        f"{SHOWN[line['regularizer']]} " + ", ".join(power(value if math.isfinite(value) else None) for value in own)
        for line, own in zip(lines, [list(one.values()) for one in angles], strict=True)
        if line
    ]
    return Comparison(
        "B, Fig. 18",
        f"{evidence.study.core}: memory-saving gradients leave the true ones, to NaN; with FD and NF they stay",
        "unregularized: grows from the start, then NaN; FD and NF: small throughout",
        "; ".join(ours),
        agrees,
        f"largest angle along the training per seed, radians, float32; partly: {FAR:g} times any regularized one in "
        "every seed, or NaN in some",
    )


CLAIMS: Sequence[Callable[[Evidence], Comparison]] = (
    _order,
    _lost,
    _additive,
    _accuracy,
    _weights,
    _strong,
    _frequency,
    _cost,
    _angle,
)
