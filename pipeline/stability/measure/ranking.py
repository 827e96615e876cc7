"""Does a score tell what goes wrong? AUC, rank correlation, and what goes wrong by rank (paper A, Fig. 4)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Ranking(NamedTuple):
    """A number that is None has its reason under its name in ``reasons``."""

    auc: float | None  # chance that a case with an artifact has the higher score than one without
    rank_correlation: float | None  # Spearman's, of the scores with the shares
    reasons: dict[str, str]


def ranking(scores: Sequence[float], shares: Sequence[float]) -> Ranking:
    """Return how well ``scores`` rank cases, of which a share in [0, 1] is bad; any bad part makes an artifact."""
    from scipy.stats import spearmanr  # type: ignore[import-untyped]
    from sklearn.metrics import roc_auc_score

    artifacts = np.asarray(shares) > 0
    reasons = {}
    auc = correlation = None
    if artifacts.all() or not artifacts.any():
        reasons["auc"] = _one_sided(artifacts)
    else:
        auc = float(roc_auc_score(artifacts, scores))
    if len(set(shares)) < 2:
        reasons["rank_correlation"] = _one_sided(artifacts) if not artifacts.any() else "all shares are equal"
    elif len(set(scores)) < 2:
        reasons["rank_correlation"] = "all scores are equal"
    else:
        correlation = float(spearmanr(scores, shares).statistic)
    return Ranking(auc, correlation, reasons)


def by_rank(scores: Sequence[float], shares: Sequence[float], bins: int) -> list[tuple[float, float]]:
    """Return the mean share over stretches of the ranking, the highest score first.

    A pair per stretch: where its middle is, in percent of the ranking, and the mean. Stretches are ``bins`` of nearly
    equal length, or one per case where there are fewer. Equal scores keep their order.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ranked = np.asarray(shares, dtype=np.float64)[order]
    edges = np.linspace(0, len(ranked), min(bins, len(ranked)) + 1).round().astype(int)
    return [
        (float(50.0 * (first + last) / len(ranked)), float(ranked[first:last].mean()))
        for first, last in itertools.pairwise(edges)
    ]


def _one_sided(artifacts: np.ndarray) -> str:
    if not artifacts.size:
        return "nothing is scored"
    return "an artifact in all" if artifacts.all() else "no artifact in any"
