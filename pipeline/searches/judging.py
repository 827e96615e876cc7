"""Which trials are best: the Pareto front of quality against stability, and the winner."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.config import SearchConfig
from pipeline.searches.trial import FINISHED, Result


def front(config: SearchConfig, results: Sequence[Result]) -> list[int]:
    """Return the numbers of the finished trials that no other one beats: in quality or stability, and in neither worse.

    Trials that lack either number are on no front. Of trials with equal numbers all are on it.
    """
    losses = {number: _losses(config, result) for number, result in enumerate(results) if _judged(config, result)}
    return [
        number
        for number, own in losses.items()
        if not any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in losses.values())
    ]


def winner(config: SearchConfig, results: Sequence[Result]) -> int | None:
    """Return the most stable one of the front among those whose quality is ``config.within`` so much of the best.

    The first of equal ones; None where no trial has both numbers. The best quality is that of trials with both.
    """
    found = front(config, results)
    if not found:
        return None
    losses = {number: _losses(config, results[number]) for number in found}
    best = min(quality for quality, _ in losses.values())
    near = [number for number in found if losses[number][0] <= best + config.within]
    return min(near, key=lambda number: losses[number][::-1])


def axes(config: SearchConfig) -> tuple[str, str]:
    """Return the names of the numbers for quality and for stability."""
    quality, stability, *_ = config.metrics
    return quality, stability


def _judged(config: SearchConfig, result: Result) -> bool:
    values = [result.values.get(name) for name in axes(config)]
    return result.status == FINISHED and all(value is not None and math.isfinite(value) for value in values)


def _losses(config: SearchConfig, result: Result) -> tuple[float, float]:
    """Return quality and stability of a judged trial, the less the better."""
    quality, stability = (
        (-1.0 if config.metrics[name] == "max" else 1.0) * float(result.values[name] or 0.0) for name in axes(config)
    )
    return quality, stability
