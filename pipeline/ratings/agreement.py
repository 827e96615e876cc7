"""How far raters agree, beyond chance: Fleiss' kappa and Krippendorff's alpha, with intervals by the bootstrap.

Kappa needs every picture rated by as many people, so it is of the pictures that all have rated; alpha takes what there
is. Both are 1 for full agreement and 0 for that of chance.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_RESAMPLES = 1000
_LEVEL = 0.95


class Agreement(NamedTuple):
    """A coefficient with its 95 % interval over resampled pictures; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""


def fleiss_kappa(table: np.ndarray) -> Agreement:
    """Return Fleiss' kappa of ``(pictures, raters)``: 1 artifact, 0 none, NaN not rated."""
    from statsmodels.stats.inter_rater import aggregate_raters
    from statsmodels.stats.inter_rater import fleiss_kappa as kappa

    complete = table[~np.isnan(table).any(axis=1)]

    def coefficient(rows: np.ndarray) -> float:
        return float(kappa(aggregate_raters(rows.astype(int), n_cat=2)[0], method="fleiss"))

    return _with_interval(complete, coefficient)


def krippendorff_alpha(table: np.ndarray) -> Agreement:
    """Return Krippendorff's alpha (nominal) of ``(pictures, raters)``: 1 artifact, 0 none, NaN not rated."""
    import krippendorff

    def coefficient(rows: np.ndarray) -> float:
        return float(krippendorff.alpha(rows.T, level_of_measurement="nominal", value_domain=[0.0, 1.0]))

    return _with_interval(table[(~np.isnan(table)).sum(axis=1) >= 2], coefficient)


def _with_interval(table: np.ndarray, coefficient: Callable[[np.ndarray], float]) -> Agreement:
    if table.shape[0] < 2 or table.shape[1] < 2:
        return Agreement(None, None, None, "needs two raters and two pictures")
    if np.unique(table[~np.isnan(table)]).size < 2:
        return Agreement(None, None, None, "all answers are equal")
    value = _of(coefficient, table)
    source = np.random.default_rng(0)
    found = [_of(coefficient, table[source.integers(0, len(table), len(table))]) for _ in range(_RESAMPLES)]
    finite = [one for one in found if one is not None]  # a resample of equal answers has no coefficient
    edges = np.quantile(finite, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]) if finite else [None, None]
    low, high = (None if edge is None else float(edge) for edge in edges)
    return Agreement(value, low, high, "" if value is not None else "not defined for these answers")


def _of(coefficient: Callable[[np.ndarray], float], table: np.ndarray) -> float | None:
    if np.unique(table[~np.isnan(table)]).size < 2:
        return None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        value = coefficient(table)
    return value if np.isfinite(value) else None
