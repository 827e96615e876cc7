"""Mahalanobis distance of features from those of in-distribution inputs (paper A, eqs. 11 and 12).

    d(v) = sqrt((v - mu)^T Sigma^-1 (v - mu)),   mu = E[u]

``centred`` takes Sigma = E[(u - mu)(u - mu)^T], the covariance, which makes d Mahalanobis' distance. Paper A prints
Sigma = E[u u^T] beside the mean that is subtracted. By Sherman and Morrison, with m = mu^T C^-1 mu and C the
covariance,

    d_printed(v)^2 = d(v)^2 - ((v - mu)^T C^-1 mu)^2 / (1 + m),

so the printed distance is never larger, and along the direction of the mean itself it saturates: v = (1 + a) mu is at
d^2 = a^2 m / (1 + m) < a^2, however narrow the features' spread is.

With fewer vectors than about ten times their length the sample covariance is singular or close to it. Ledoit and Wolf
(2004) shrink it towards a multiple of the identity by the share that minimizes the expected squared error; the share is
kept, since a score of mostly shrunk covariance is little more than a Euclidean distance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]


class Reference(NamedTuple):
    """What distances are measured from: D features of ``patches`` in-distribution inputs."""

    mean: Vectors  # (D,)
    precision: Vectors  # (D, D), the inverse of Sigma
    shrinkage: float  # share in [0, 1] of Sigma that is a multiple of the identity
    patches: int

    def distances(self, features: Vectors) -> Vectors:
        """Return d of each of ``features``, ``(N, D)``, as ``(N,)``; NaN where a feature is not finite."""
        away = np.asarray(features, dtype=np.float64) - self.mean
        with np.errstate(invalid="ignore", over="ignore"):
            squares = np.einsum("nd,de,ne->n", away, self.precision, away)
        # rounding alone can make a square of nearly zero negative
        return np.where(np.isfinite(squares), np.sqrt(np.maximum(squares, 0.0)), np.nan)


def fit(features: Vectors, centred: bool = True, shrinkage: float | None = None) -> Reference:
    """Return the reference of in-distribution ``features``, ``(N, D)``.

    ``centred``: see the module. ``shrinkage``: None chooses it after Ledoit and Wolf, 0 takes the sample's covariance.
    Raises ValueError for fewer than two vectors, for values that are not finite, and for a covariance that cannot be
    inverted.
    """
    from sklearn.covariance import LedoitWolf, ShrunkCovariance

    values = np.asarray(features, dtype=np.float64)
    if len(values) < 2:
        raise ValueError(f"a covariance needs two vectors at least, got {len(values)}")
    if not np.isfinite(values).all():
        raise ValueError("features that are not finite have no covariance")
    given = {"assume_centered": not centred, "store_precision": False}
    estimator = LedoitWolf(**given) if shrinkage is None else ShrunkCovariance(shrinkage=shrinkage, **given)
    sigma = estimator.fit(values).covariance_
    if np.linalg.matrix_rank(sigma, hermitian=True) < len(sigma):
        raise ValueError(f"the covariance of {len(values)} vectors of {len(sigma)} features cannot be inverted")
    chosen = estimator.shrinkage_ if shrinkage is None else shrinkage
    return Reference(values.mean(0), np.linalg.inv(sigma), float(chosen), len(values))
