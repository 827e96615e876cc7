"""How much detail a restoration has, right or wrong: its gradients against those of the reference."""

from __future__ import annotations

import numpy as np

from pipeline.metrics.contract import Metric, NotComputable, Picture, Pixels, mean


def gradient_magnitude(image: Pixels) -> float:
    """Return the mean length of the gradient (differences of neighbours, per channel) of ``(H, W, 3)`` uint8."""
    values = image.astype(np.float64)
    down = np.diff(values, axis=0)[:, :-1]
    right = np.diff(values, axis=1)[:-1]
    return float(np.hypot(down, right).mean())


def _ratio(picture: Picture) -> float:
    if min(picture.reference.shape[:2]) < 2 or not (wanted := gradient_magnitude(picture.reference)):
        raise NotComputable("the reference has no gradients")
    return mean([gradient_magnitude(draw) for draw in picture.draws]) / wanted


GRADIENT_RATIO = Metric(
    name="gradient_ratio",
    title="Mean gradient magnitude relative to the reference (under 1: blurred, over 1: noisy)",
    unit="",
    better="target:1",
    per_picture=_ratio,
    summarise=mean,
)
