"""The learning rate as a pure function of the step, so that a resume needs no scheduler state."""

from __future__ import annotations

from collections.abc import Sequence


def learning_rate_at(
    step: int, steps: int, base: float, milestones: Sequence[float], warmup: int = 0, decay: float = 0.5
) -> float:
    """Return ``base`` times ``decay`` at each passed milestone (fractions of ``steps``).

    Halved by default, as in SRFlow and paper A, A.3. Over the first ``warmup`` steps it rises linearly (LLFlow).
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return rise * base * decay ** sum(step >= fraction * steps for fraction in milestones)
