"""The classifier study's page: paragraphs, tables, figures, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reporting.study_page import PageFigure, StudyPage
from pipeline.studies.classifier.claims import comparisons
from pipeline.studies.classifier.options import Options, is_core
from pipeline.studies.classifier.tables import SHOWN, Trials, is_plain, table_2, table_9, table_11
from pipeline.studies.sources import DIGITS

_PICTURES = {DIGITS: "scikit-learn's 8 x 8 digits (1,500 to train, 297 to test)"}


def followed(study: Options, trials: Trials) -> dict[str, list[Sequence[Mapping[str, float]]]]:
    """Return the curves of the rows that have every seed, by the names that figures show."""
    curves: dict[str, list[Sequence[Mapping[str, float]]]] = {}
    for one in trials:
        if is_core(study, one["coupling"], one["permutation"], one["regularizer"]) and is_plain(study, one):
            curves.setdefault(_name(one), []).append(one["curve"])
    return curves


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['coupling']} {one['permutation']}, {SHOWN[one['regularizer']]}"


def page(study: Options, trials: Trials, found: Trials, cost: Mapping[str, Any]) -> StudyPage:
    """Return the page from trials, their summary and the cost of steps."""
    compared = comparisons(study, trials, found, cost)
    order, lost = compared[0], compared[1]
    verdict = {
        "yes": "the order of the paper's Table 2 appeared in every seed",
        "partly": "the order of the paper's Table 2 appeared in part",
        "no": "the order of the paper's Table 2 did not appear",
        "cannot be told": "rows are missing that the order of the paper's Table 2 could be told by",
    }[order.agrees]
    tried = f"{study.levels} levels of {study.depth} couplings, {study.iterations} steps at {study.learning_rate:g}"
    paragraphs = [
        f"{study.core}: {verdict} ({order.note}). {tried}.",
        f"The inverse of the unregularized one: {lost.note}.",
    ]
    diverged = [one for one in trials if one["diverged"] is not None]
    if diverged:
        paragraphs.append(f"{len(diverged)} of {len(trials)} trainings diverged: " + "; ".join(map(_name, diverged)))
    return StudyPage(
        name="classifier",
        title="Invertible classifiers: which ones keep their inverse",
        question=(
            "Paper B, section 4.2: networks made of couplings are trained to classify, and nothing in that asks for a "
            "stable inverse. Do they keep one? Do finite differences (FD) or a likelihood (NF), as regularizers, help?"
        ),
        scale=(
            f"{_PICTURES.get(study.source, 'CIFAR-10')}, {tried}, batch {study.batch}; {study.seeds} seeds of the "
            f"core's rows, {study.other_seeds} of the others. The paper: CIFAR-10, 3 levels of 16, 78,125 steps at "
            "1e-4, batch 128."
        ),
        found=paragraphs,
        tables=[table_2(study, found), table_9(study, found), table_11(cost)],
        figures=[
            PageFigure(
                "stability.png",
                "Stability along the training (paper B, Figs. 16 and 17), a line per seed; a cross at the upper edge: "
                "not finite. Condition number and smallest singular value at the worst of two test pictures, float64; "
                "reconstruction of all test pictures in float32.",
                "Condition number, smallest singular value and reconstruction error against steps, per regularizer",
            ),
            PageFigure(
                "angles.png",
                "Angle between true gradients and those whose inputs are recomputed by the inverse (paper B, Fig. 18), "
                "of the flow's parameters; a cross at the upper edge: not finite. In float32, as networks are trained, "
                "and in a float64 copy.",
                "Angle of memory-saving gradients against steps, per regularizer, in two precisions",
            ),
        ],
        comparisons=compared,
    )
