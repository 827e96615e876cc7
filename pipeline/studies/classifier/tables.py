"""Trials of the classifier study in rows: over seeds, with the paper's figures beside ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

from pipeline.reporting.study_page import Cell, PageTable
from pipeline.studies.classifier.options import MEASURES, TAGS, Options, rows_of
from pipeline.studies.classifier.paper import TABLE_9, TABLE_10, TABLE_11

Trials = Sequence[Mapping[str, Any]]
SHOWN = {"none": "none", "fd": "FD", "nf": "NF"}
_GROUP = TAGS[:-1]  # all but the seed
_BETTER_LARGE = ("accuracy", "least")


def summary(trials: Trials) -> list[dict[str, Any]]:
    """Return a row per setting: median, least and most of every measure over the seeds that did not diverge.

    A value that is not finite counts as the worst, and is None. ``accuracy_mean`` and ``accuracy_sd`` (of two seeds or
    more) besides; ``seeds`` and ``diverged`` count.
    """
    found = []
    for key in dict.fromkeys(tuple(one[name] for name in _GROUP) for one in trials):
        own = [one for one in trials if tuple(one[name] for name in _GROUP) == key]
        measured = [one for one in own if one["diverged"] is None]
        line = dict(zip(_GROUP, key, strict=True)) | {"seeds": len(own), "diverged": len(own) - len(measured)}
        for measure in MEASURES:
            worst = -math.inf if measure in _BETTER_LARGE else math.inf
            values = [worst if one[measure] is None else one[measure] for one in measured]
            for kind, choose in (("median", median), ("least", min), ("most", max)):
                line[f"{measure}_{kind}"] = _finite(choose(values)) if values else None
        accuracies = [one["accuracy"] for one in measured]
        line["accuracy_mean"] = mean(accuracies) if accuracies else None
        line["accuracy_sd"] = stdev(accuracies) if len(accuracies) > 1 else None
        found.append(line)
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def accuracy(line: Mapping[str, Any]) -> str:
    """Return mean and standard deviation over seeds, percent, as text."""
    if line["accuracy_mean"] is None:
        return "diverged"
    spread = "" if line["accuracy_sd"] is None else f" ± {line['accuracy_sd']:.2f}"
    return f"{line['accuracy_mean']:.2f}{spread}"


def spread(line: Mapping[str, Any], measure: str) -> str:
    """Return the median over seeds and, of two or more, the least and the most, as text."""
    if line["seeds"] == line["diverged"]:
        return "diverged"
    middle, least, most = (power(line[f"{measure}_{kind}"]) for kind in ("median", "least", "most"))
    return middle if line["seeds"] - line["diverged"] == 1 else f"{middle} ({least} … {most})"


def power(value: float | None) -> str:
    """Return a number that may have any size as text."""
    return "not finite" if value is None else f"{value:.1e}"


def table_2(study: Options, found: Trials) -> PageTable:
    """Return Table 10 of the paper, which holds its Table 2, ours beside it."""
    columns = (
        *("coupling", "regularizer", "seeds", "diverged", "accuracy, %", "paper", "reconstruction error", "paper"),
        *("condition number", "at the worst picture", "paper", "smallest singular value", "paper"),
        *("largest", "paper", "minutes"),
    )
    rows: list[Sequence[Cell]] = []
    for line in found:
        key = (line["coupling"], line["permutation"], line["regularizer"])
        if not is_plain(study, line):
            continue
        theirs = TABLE_10[key]
        rows.append(
            (
                *(f"{line['coupling']} {line['permutation']}", SHOWN[line["regularizer"]]),
                *(line["seeds"], line["diverged"], accuracy(line), f"{theirs.accuracy:.2f}"),
                *(spread(line, "reconstruction"), theirs.reconstruction),
                *(spread(line, "condition"), spread(line, "condition_worst"), power(theirs.condition)),
                *(spread(line, "least"), power(theirs.least), spread(line, "largest"), power(theirs.largest)),
                line["minutes_median"],
            )
        )
    note = (
        "Accuracy: mean ± standard deviation over seeds; the rest: median (least … most) over seeds. Reconstruction "
        "error: mean Euclidean norm per test picture, normalized values, float32. Condition number: largest over "
        f"smallest singular value of the Jacobian in float64, median of {study.pictures} test pictures and worst of "
        "them; the paper has one picture in float32, in which nothing below 1e-9 or so can be told from rounding. "
        "The paper: CIFAR-10, one seed."
    )
    return PageTable("Table 2 and Table 10 of paper B: regularizers per coupling and permutation", columns, rows, note)


def table_9(study: Options, found: Trials) -> PageTable:
    """Return the sweeps over weights, and over steps from penalty to penalty."""
    swept = {(line["coupling"], line["permutation"]) for line in found if not is_plain(study, line)}
    own = [line for line in found if (line["coupling"], line["permutation"]) in swept]
    order = {"none": 0, "fd": 1, "nf": 2}
    own.sort(key=lambda line: (line["coupling"], line["permutation"], order[line["regularizer"]], -line["weight"]))
    rows = [
        (
            *(f"{line['coupling']} {line['permutation']}", SHOWN[line["regularizer"]]),
            *(power(line["weight"]) if line["weight"] else "", line["every"] or "", line["seeds"], accuracy(line)),
            *(spread(line, "reconstruction"), spread(line, "condition_worst"), spread(line, "least")),
            spread(line, "largest"),
        )
        for line in own
    ]
    columns = ("coupling", "regularizer", "weight", "every", "seeds", "accuracy, %", "reconstruction error")
    theirs = ", ".join(
        f"{SHOWN[kind]} {weight:.0e}: {accurate} %, {error}, {condition:.1e}"
        for (kind, weight), (accurate, error, condition) in TABLE_9.items()
    )
    note = f"The paper's, affine with 1x1 convolutions (accuracy, reconstruction, condition number): {theirs}. "
    if study.directions == "per_sample":
        note += "A weight of its FD corresponds to one of 0.1 x 3072 times as much here, where directions have norm 1."
    return PageTable(
        "Table 9 of paper B: weights, and steps from one penalty to the next",
        (*columns, "condition number, worst", "smallest singular value", "largest"),
        rows,
        note,
    )


def is_plain(study: Options, line: Mapping[str, Any]) -> bool:
    """Return whether a trial or a row is one of Table 2, not of a sweep."""
    own = (line["coupling"], line["permutation"], line["regularizer"], line["weight"], line["every"])
    return own in {row[:-1] for row in rows_of(study)}


def table_11(cost: Mapping[str, Any]) -> PageTable:
    """Return the cost of finite differences beside the paper's."""
    plain = cost["seconds_plain"]
    rows: list[Sequence[Cell]] = [("unregularized", plain, "1×", "1×")]
    rows += [
        (f"every {k}", plain * cost[f"overhead_{k}"], f"{cost[f'overhead_{k}']:.2f}×", f"{theirs:.2f}×")
        for k, theirs in TABLE_11.items()
    ]
    note = (
        "Processor time of one step (on a GPU: by the clock), reversible gradients, additive couplings with 1x1 "
        "convolutions: medians of steps without and with the penalty, taken in turns, averaged over as many steps as "
        "lie between two penalties."
    )
    return PageTable(
        "Table 11 of paper B: cost of finite differences", ("penalty", "seconds", "ours", "paper"), rows, note
    )
