"""How much detail a restoration has, right or wrong: its gradients against those of the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.metrics.contract import Metric, NotComputable, Picture, Pixels, mean

_LEAST_GRADIENT = 1e-3  # 8-bit levels; what draws of one colour count as: the logarithm of none is infinite


def gradient_magnitude(image: Pixels) -> float:
    """Return the mean length of the gradient (differences of neighbours, per channel) of ``(H, W, 3)`` uint8."""
    values = image.astype(np.float64)
    down = np.diff(values, axis=0)[:, :-1]
    right = np.diff(values, axis=1)[:-1]
    return float(np.hypot(down, right).mean())


def _log_ratio(picture: Picture) -> float:
    if min(picture.reference.shape[:2]) < 2 or not (wanted := gradient_magnitude(picture.reference)):
        raise NotComputable("the reference has no gradients")
    found = mean([gradient_magnitude(draw) for draw in picture.draws])
    return math.log(max(found, _LEAST_GRADIENT) / wanted)


def gradient_error(log_ratios: Sequence[float]) -> float:
    """Return the mean magnitude of the logarithms of ratios: 0 if every picture is as sharp as its reference.

    A mean of the ratios themselves would let noise on a sky (ratio 2) make up for blur on houses (0.3).
    """
    return mean([abs(log_ratio) for log_ratio in log_ratios])


# Per picture the sign tells blur (negative) from noise (positive).
GRADIENT_LOG_RATIO = Metric(
    name="gradient_log_ratio",
    title="Gradient error: |ln(gradient of draws / of the reference)|, mean over pictures",
    unit="",
    better="lower",
    per_picture=_log_ratio,
    summarise=gradient_error,
)
