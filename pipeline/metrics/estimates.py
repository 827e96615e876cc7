"""Metrics of single pictures that stand for a whole distribution: the latent's mean and the mean of the draws.

Both are LLFlow's sampling schemes (paper A, section 4.3): f^-1(E[z]; y), and E[f^-1(z; y)] over some draws. In
super-resolution the first is a draw at temperature 0. ``_gain``: after the picture was multiplied to the brightness of
the ground truth (pipeline/inference/brightness.py), as LLFlow's published figures are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from pipeline.metrics.contract import (
    ESTIMATES,
    Aspect,
    Metric,
    NotComputable,
    Picture,
    mean,
)
from pipeline.metrics.fidelity import capped_psnr, ssim_colour, ssim_grey
from pipeline.metrics.perceptual import lpips_of

_TITLES = {
    "latent_mean": "of the latent's mean (temperature 0)",
    "draws_mean": "of the mean of the draws",
    "latent_mean_gain": "of the latent's mean, at the ground truth's brightness",
    "draws_mean_gain": "of the mean of the draws, at the ground truth's brightness",
}
_ALWAYS = ("psnr_latent_mean", "lpips_latent_mean")


class _Measure(NamedTuple):
    """What is measured of an estimate."""

    title: str
    unit: str
    better: Literal["higher", "lower"]
    of: Callable[[Picture, str], float]


def _lpips_of_estimates(picture: Picture) -> dict[str, float]:
    """Return LPIPS of every estimate that there is, in one pass."""
    compared = lpips_of(picture, np.stack(list(picture.estimates.values())))
    return dict(zip(picture.estimates, map(float, compared.distance), strict=True))


_MEASURES = {
    "psnr": _Measure("PSNR (RGB)", "dB", "higher", lambda p, name: capped_psnr(p.estimates[name], p.reference)),
    "ssim_grey": _Measure(
        "SSIM (grey, 7x7 uniform window)", "", "higher", lambda p, name: ssim_grey(p.estimates[name], p.reference)
    ),
    "ssim_colour": _Measure(
        "SSIM (colour, 7x7 uniform window)", "", "higher", lambda p, name: ssim_colour(p.estimates[name], p.reference)
    ),
    "lpips": _Measure("LPIPS (AlexNet, v0.1)", "", "lower", lambda p, name: p.once(_lpips_of_estimates)[name]),
}


def _of_estimate(measure: _Measure, estimate: str, picture: Picture) -> float:
    if estimate not in picture.estimates:
        raise NotComputable(
            "the mean of the restoration is not a positive number, so no gain gives it the ground truth's brightness"
        )
    return measure.of(picture, estimate)


def _metric(name: str, measure: _Measure, estimate: str) -> Metric:
    aspect: Aspect | None = None if f"{name}_{estimate}" in _ALWAYS else "estimates"
    return Metric(
        name=f"{name}_{estimate}",
        title=f"{measure.title} {_TITLES[estimate]}",
        unit=measure.unit,
        better=measure.better,
        per_picture=partial(_of_estimate, measure, estimate),
        summarise=mean,
        aspect=aspect,
    )


ESTIMATE_METRICS = tuple(
    _metric(name, measure, estimate) for name, measure in _MEASURES.items() for estimate in ESTIMATES
)
