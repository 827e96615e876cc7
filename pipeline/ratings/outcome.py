"""From answers to errors: the rule of paper A's Table 2, per variant, and how well counting pixels predicts it.

An image counts as erroneous when more than 3 of 5 people judge it so: more than 60 % of those who rated it. A held-out
picture counts when any of its rated restorations does.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from pipeline.ratings.agreement import fleiss_kappa, krippendorff_alpha
from pipeline.ratings.answers import Rater
from pipeline.ratings.blinding import Blinded, Key

MAJORITY = Fraction(3, 5)


class Verdict(NamedTuple):
    """A rated restoration: how many of how many people saw an artifact."""

    blinded: Blinded
    yes: int
    raters: int

    @property
    def erroneous(self) -> bool:
        """Return whether more than 3 of 5 of its raters say so."""
        return self.yes > MAJORITY * self.raters


def verdicts(key: Key, raters: Sequence[Rater]) -> list[Verdict]:
    """Return a verdict per restoration that anybody rated, in the order of the key; checks are none."""
    found = []
    for blinded in key.pictures:
        said = [rater.answers[blinded.name] for rater in raters if blinded.name in rater.answers]
        if said and not blinded.check:
            found.append(Verdict(blinded, sum(said), len(said)))
    return found


def human_errors(key: Key, raters: Sequence[Rater], variant: str) -> dict[str, Any]:
    """Return what raters say of a variant: errors, of how many pictures, and their agreement about it."""
    own = [verdict for verdict in verdicts(key, raters) if verdict.blinded.variant == variant]
    table = _table(key, raters, variant)
    return {
        "human_errors": len({verdict.blinded.picture for verdict in own if verdict.erroneous}),
        "pictures": len({verdict.blinded.picture for verdict in own}),
        "raters": len(raters),
        "fleiss_kappa": fleiss_kappa(table)._asdict(),
        "krippendorff_alpha": krippendorff_alpha(table)._asdict(),
        "restorations": [
            {
                "picture": verdict.blinded.picture,
                "sha256": verdict.blinded.sha256,
                "yes": verdict.yes,
                "raters": verdict.raters,
                "erroneous": verdict.erroneous,
            }
            for verdict in own
        ],
    }


def _table(key: Key, raters: Sequence[Rater], variant: str) -> np.ndarray:
    """Return ``(restorations, raters)``: 1 artifact, 0 none, NaN not rated."""
    names = [blinded.name for blinded in key.pictures if blinded.variant == variant and not blinded.check]
    rows = [[float(rater.answers.get(name, np.nan)) for rater in raters] for name in names]
    return np.array(rows, dtype=float).reshape(len(names), len(raters))


def overall_table(key: Key, raters: Sequence[Rater]) -> np.ndarray:
    """Return ``(restorations, raters)`` of all variants, as ``fleiss_kappa`` takes it."""
    variants = dict.fromkeys(blinded.variant for blinded in key.pictures if not blinded.check)
    return np.concatenate([_table(key, raters, variant) for variant in variants])


def predicts(flagged: Sequence[bool], judged: Sequence[bool]) -> dict[str, Any]:
    """Return how well a proxy's flags predict people's judgement: counts, precision and recall (None: of nothing)."""
    pairs = list(zip(flagged, judged, strict=True))
    both = sum(flag and truth for flag, truth in pairs)
    flags, truths = sum(flag for flag, _ in pairs), sum(truth for _, truth in pairs)
    return {
        "pictures": len(pairs),
        "flagged": flags,
        "judged_erroneous": truths,
        "both": both,
        "precision": both / flags if flags else None,
        "recall": both / truths if truths else None,
    }
