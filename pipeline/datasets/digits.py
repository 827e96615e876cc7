"""The scanned digits inside scikit-learn (UCI, E. Alpaydin and C. Kaynak; CC BY 4.0): 1,797 pictures, 8 x 8."""

from __future__ import annotations

import gzip

import numpy as np

from pipeline.datasets.photographs import package_folder

ORIGIN = "datasets/data/digits.csv.gz"  # inside the package
BRIGHTEST = 16  # values are whole numbers from 0
_SIDE = 8  # pixels


def scanned_digits(count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``count`` pictures ``(N, 8, 8)`` int64 in [0, 16] and the digits that they show ``(N,)``."""
    with gzip.open(package_folder("sklearn") / ORIGIN, "rt") as file:
        rows = np.loadtxt(file, delimiter=",", max_rows=count).astype(np.int64)
    return rows[:, :-1].reshape(-1, _SIDE, _SIDE), rows[:, -1]
