"""Counts of exploded draws: by pixel values before clamping, and by LR-PSNR (paper A, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.metrics.contract import DrawStatistics, Metric, NotComputable, Picture, total
from pipeline.metrics.fidelity import lr_psnr_of_draws


def bad_draws(statistics: Sequence[DrawStatistics]) -> int:
    """Return how many draws have any value outside [-0.5, 1.5], NaN or infinite, before clamping.

    NaN fails every comparison, so it is counted by itself.
    """
    return sum(draw.outside_values > 0 or draw.nonfinite_values > 0 for draw in statistics)


def _bad_draws(picture: Picture) -> int:
    if picture.statistics is None:
        raise NotComputable("values before clamping exist for draws only")
    return bad_draws(picture.statistics)


def _worst_below(threshold: float) -> Callable[[Picture], float]:
    return lambda picture: float(picture.once(lr_psnr_of_draws).min() < threshold)


ERRORS_LR_PSNR_45 = Metric(
    name="errors_lr_psnr_45",
    title="Pictures whose worst draw is under 45 dB LR-PSNR",
    unit="pictures",
    better="lower",
    per_picture=_worst_below(45.0),
    summarise=total,
    aspect="draws",
)
ERRORS_LR_PSNR_40 = Metric(
    name="errors_lr_psnr_40",
    title="Pictures whose worst draw is under 40 dB LR-PSNR",
    unit="pictures",
    better="lower",
    per_picture=_worst_below(40.0),
    summarise=total,
    aspect="draws",
)
PIXEL_ERRORS = Metric(
    name="pixel_errors",
    title="Pictures with a draw that leaves [-0.5, 1.5] or is not finite",
    unit="pictures",
    better="lower",
    per_picture=lambda picture: float(_bad_draws(picture) > 0),
    summarise=total,
)
PIXEL_ERROR_DRAWS = Metric(
    name="pixel_error_draws",
    title="Draws that leave [-0.5, 1.5] or are not finite",
    unit="draws",
    better="lower",
    per_picture=lambda picture: float(_bad_draws(picture)),
    summarise=total,
)
