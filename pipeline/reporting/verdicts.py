"""Do verdicts that looked at no stress input agree with what the stress inputs show?

The thresholds of the verdict were chosen on the demo's models of seed 10, so their agreement there says less than that
on models of other seeds, data or sizes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.reporting.results import TaskResults
from pipeline.stability.evidence import EXPLODES, LARGE

BAD_SHARE = 0.01  # of the values on stress inputs: more than a picture with a few wrong pixels has


@dataclass(frozen=True)
class Agreement:
    """How many of ``models`` agree: the blind verdict is "will explode" if and only if the stress inputs show it.

    ``by_size``: they show it by a value that is not finite or larger than LARGE. ``by_share``: by a share of bad values
    above BAD_SHARE, which networks reach as well that are merely wrong.
    """

    models: int
    by_size: int
    by_share: int

    @property
    def sentence(self) -> str:
        """Return it as people read it."""
        return (
            f"those made without stress inputs agree with these in {self.by_size} of {self.models} models "
            f'("{EXPLODES}": a value beyond {LARGE:g} or not finite), by the share of bad values (more than '
            f"{BAD_SHARE:.0%}) in {self.by_share}"
        )


def agreement(tasks: Iterable[TaskResults]) -> Agreement | None:
    """Return the agreement over all variants and seeds whose audit has a verdict and stress inputs, None for none."""
    audits = [
        result.stability
        for task in tasks
        for one in (task, *task.repeats)
        for result in one.variants.values()
        if result.stability
    ]
    compared = [pair for audit in audits if (pair := _compared(audit))]
    if not compared:
        return None
    return Agreement(len(compared), sum(size for size, _ in compared), sum(share for _, share in compared))


def _compared(audit: dict[str, Any]) -> tuple[bool, bool] | None:
    """Return whether size and share on stress inputs agree with the blind level; None where one is not known."""
    bad = audit["analyses"].get("bad_pixels", {})
    share, nonfinite = bad.get("bad_share_stress"), bad.get("nonfinite_share_stress")
    if "verdict" not in audit or share is None or nonfinite is None:
        return None
    blind = audit["verdict"]["blind_level"] == EXPLODES
    large = nonfinite > 0 or (bad.get("largest_stress") or 0.0) > LARGE
    return blind == large, blind == (share > BAD_SHARE)
