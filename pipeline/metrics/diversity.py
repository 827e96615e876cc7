"""The diversity score of the NTIRE 2021 challenge on the super-resolution space (Lugmayr et al., 2021)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.contract import Metric, NotComputable, Picture, example, mean
from pipeline.metrics.perceptual import lpips_of_draws


def diversity_score(maps: NDArray[np.floating]) -> float:
    """Return 100 (G - L) / G in percent, from LPIPS per pixel of M draws against the reference ``(M, H, W)``.

    G is the distance of the best single draw, min_j mean_px(l_j); L is the distance of the best draw per pixel,
    mean_px(min_j l_j). 0: one draw is best everywhere (so also if it equals the reference, where G is 0).
    """
    maps = maps.astype(np.float64)
    best_draw = maps.mean(axis=(1, 2)).min()
    best_pixels = maps.min(axis=0).mean()
    return float(100 * (best_draw - best_pixels) / best_draw) if best_draw > 0 else 0.0


def _of_picture(picture: Picture) -> float:
    if len(picture.draws) < 2:
        raise NotComputable("the diversity score needs two draws or more")
    return diversity_score(picture.once(lpips_of_draws).maps)


def _varied_and_equal() -> tuple[Picture, Picture]:
    """Two draws that are each right where the other is wrong, against twice the same one."""
    good, bad = example()
    left, right = good.draws.copy()
    half = left.shape[1] // 2
    left[:, :half], right[:, half:] = bad.draws[0][:, :half], bad.draws[0][:, half:]
    varied = replace(good, draws=np.stack([left, right]), _results={})
    return varied, replace(good, draws=np.stack([left, left]), _results={})


DIVERSITY = Metric(
    name="diversity",
    title="Diversity score (NTIRE 2021)",
    unit="%",
    better="higher",
    per_picture=_of_picture,
    summarise=mean,
    example=_varied_and_equal,
)
