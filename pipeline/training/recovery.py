"""Whether a training is still well: when it goes back to its last good state, and when its model has collapsed.

It is judged by steps whose loss or gradient is not finite, and by the nll of held-out crops. Both are the same on all
ranks, and so are the conclusions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from pipeline.config import RecoveryConfig

# Bits per dimension by which the held-out likelihood of the averaged weights may be below its best, and that of the
# last ones, which are noisier; three times that in the published unit. Of eleven trainings of 7,000 steps that went
# well, at one and two times the demo's rate, the former was below by 0.03 at most.
COLLAPSE = 0.25
_OF_THE_LAST = 0.5
_PUBLISHED = 3.0


@dataclasses.dataclass
class Health:
    """What was seen of a training, in plain numbers, so that a checkpoint can hold it."""

    best: float = math.inf  # held-out nll of the averaged network, published unit
    worse: int = 0  # validations in a row at which it was far worse than that
    nonfinite: int = 0  # steps in a row
    returns: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # "step", "to" and "why" of each

    def see_step(self, finite: bool) -> None:
        """Count a step."""
        self.nonfinite = 0 if finite else self.nonfinite + 1

    def see_validation(self, averaged: float, last: float) -> bool:
        """Take in the nll of the averaged and of the last network; return whether this is a state to go back to.

        Where a training breaks down, steps that are not finite tell first, then the last weights, then their average.
        """
        fallen = collapsed(averaged, self.best)
        self.worse = self.worse + 1 if fallen else 0
        self.best = min(self.best, averaged if math.isfinite(averaged) else math.inf)
        return not (fallen or self.nonfinite or collapsed(last, self.best, _OF_THE_LAST))

    def may_return(self, recovery: RecoveryConfig | None) -> bool:
        """Return whether there is a return left."""
        return recovery is not None and len(self.returns) < recovery.limit

    def reason(self, recovery: RecoveryConfig | None, stuck: bool, ended: bool) -> str:
        """Return why the training is to go back; empty if it is not.

        ``stuck``: too many steps were not finite, in a row or not. ``ended``: no validation will follow.
        """
        if recovery is None or not self.may_return(recovery):
            return ""
        if self.nonfinite >= recovery.nonfinite_steps:
            return f"{self.nonfinite} steps in a row had a non-finite loss or gradient"
        if stuck:
            return "too many steps had a non-finite loss or gradient"
        if self.worse >= (1 if ended else recovery.validations):
            return f"the held-out likelihood fell by more than {COLLAPSE} bits per dim and stayed down"
        return ""

    def rate(self, recovery: RecoveryConfig | None) -> float:
        """Return what the planned learning rate is multiplied by."""
        return recovery.rate ** len(self.returns) if recovery else 1.0

    def went_back(self, step: int, to: int, why: str) -> None:
        """Note a return; the best likelihood stays that of the good state."""
        self.returns.append({"step": step, "to": to, "why": why})
        self.worse = self.nonfinite = 0


def collapsed(nll: float, best: float, least: float = COLLAPSE) -> bool:
    """Return whether a held-out nll (published unit) is not finite, or worse than the ``best`` one by more than
    ``least`` bits per dimension.
    """
    return not math.isfinite(nll) or nll > best + _PUBLISHED * least


def ended_collapsed(held_out: Sequence[float]) -> bool:
    """Return whether the last of a training's held-out nlls is that of a collapsed model."""
    *before, last = held_out
    return collapsed(last, min((nll for nll in before if math.isfinite(nll)), default=math.inf))
