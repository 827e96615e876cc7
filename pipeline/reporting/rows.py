"""A line of the comparison, its numbers as people read them, and its mean and spread over seeds."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pipeline.reporting.paper_figures import Figures

NOT_PRINTED: Figures = ("", "", "")
ARROWS = {"higher": "↑", "lower": "↓"}
_ROUNDING = 0.01  # how far from the best value, as a share of it, another must be for the best one to be marked
# direction -> how far a value is from the best one
_DISTANCE: dict[str, Callable[[float], float]] = {
    "higher": lambda value: -value,
    "lower": lambda value: value,
}


@dataclass(frozen=True)
class ComparisonRow:
    """One line of the comparison; a value that is missing is None and may have a reason."""

    task: str
    group: str
    name: str
    title: str
    unit: str
    better: str  # a key of ARROWS, or nothing
    values: dict[str, float | None]
    baseline: float | None = None
    paper: Figures = NOT_PRINTED
    reasons: dict[str, str] = field(default_factory=dict)
    says_why: bool = False  # whether the reason stands in the cell of a missing value; else a dash
    spread: dict[str, float] = field(default_factory=dict)  # standard deviation over seeds, where there are several
    words: dict[str, str] = field(default_factory=dict)  # of a variant whose finding is a word, not a number

    @property
    def arrow(self) -> str:
        """Return the direction of improvement as a sign."""
        return ARROWS.get(self.better, "")

    def text(self, variant: str) -> str:
        """Return the value of a variant, and its spread over seeds, as people read it."""
        value = self.values[variant]
        if variant in self.words:
            return self.words[variant]
        if value is None:
            return (self.says_why and self.reasons.get(variant)) or show(None)
        spread = self.spread.get(variant)
        return show(value, self.decimals) + (f" ± {show(spread, self.decimals)}" if spread else "")

    @property
    def decimals(self) -> int | None:
        """Return how many decimals all values of the row have; None where their sizes are too different."""
        values = [x for x in (*self.values.values(), self.baseline) if x and math.isfinite(x)]
        sizes = [abs(x) for x in values]
        if not sizes or min(sizes) < 0.01 or max(sizes) >= 1e5 or max(sizes) > 1000 * min(sizes):
            return None
        needed = max(len(show(x).partition(".")[2]) for x in (*values, *self.spread.values()))
        return min(needed, max(0, 3 - math.floor(math.log10(max(sizes)))))

    @property
    def baseline_text(self) -> str:
        """Return the baseline's value as people read it; nothing where it has none."""
        return "" if self.baseline is None else show(self.baseline, self.decimals)

    @property
    def best(self) -> set[str]:
        """Return the variants with the best value; none where all are equal or another is too near to tell.

        Too near: within ``_ROUNDING`` of it, or within the sum of both spreads over seeds.
        """
        if self.better not in _DISTANCE:
            return set()
        finite = {v: x for v, x in self.values.items() if x is not None and math.isfinite(x)}
        distance = {v: _DISTANCE[self.better](x) for v, x in finite.items()}
        if not distance or (self.spread and set(finite) - set(self.spread)):  # one has run at a single seed so far
            return set()
        first = min(distance, key=distance.__getitem__)
        closest, own = distance[first], self.spread.get(first, 0.0)
        best = {variant for variant, value in distance.items() if value == closest}
        near = {
            variant
            for variant, value in distance.items()
            if value - closest <= max(_ROUNDING * abs(closest), own + self.spread.get(variant, 0.0))
        }
        return best if near <= best and len(best) < len(distance) else set()


def over_seeds(seeds: Iterable[list[ComparisonRow]]) -> list[ComparisonRow]:
    """Return the rows of all seeds as one table: per variant the mean and the standard deviation over the seeds.

    A seed at which a stage has not run yet is left out. A value that could not be computed at one seed, which has a
    reason, has no mean. Of words every one is told, with how many seeds say so.
    """
    same: dict[tuple[str, str], list[ComparisonRow]] = {}
    for rows in seeds:
        for row in rows:
            same.setdefault((row.group, row.name), []).append(row)
    return [_mean(rows) for rows in same.values()]


def _mean(rows: list[ComparisonRow]) -> ComparisonRow:
    reasons = _of_how_many([row.reasons for row in rows])
    values: dict[str, float | None] = {}
    spread: dict[str, float] = {}
    for variant in rows[0].values:
        found = [value for row in rows if (value := row.values.get(variant)) is not None]
        values[variant] = statistics.fmean(found) if found and variant not in reasons else None
        if len(found) > 1 and values[variant] is not None and all(map(math.isfinite, found)):
            spread[variant] = statistics.stdev(found)
    words = _tally([row.words for row in rows])
    return dataclasses.replace(rows[0], values=values, reasons=reasons, spread=spread, words=words)


def _tally(words: list[dict[str, str]]) -> dict[str, str]:
    """Return each variant's word, or where seeds differ all of them, the most frequent first."""
    found = {variant: Counter(of[variant] for of in words if variant in of) for of in words for variant in of}
    return {
        variant: next(iter(said)) if len(said) == 1 else ", ".join(f"{word} ({n})" for word, n in said.most_common())
        for variant, said in found.items()
    }


def _of_how_many(words: list[dict[str, str]]) -> dict[str, str]:
    """Return the first words of each variant, and at how many of the seeds there are such, if not at all of them."""
    found: dict[str, list[str]] = {}
    for of_a_seed in words:
        for variant, text in of_a_seed.items():
            found.setdefault(variant, []).append(text)
    return {
        variant: texts[0] + (f", at {len(texts)} of {len(words)} seeds" if len(texts) < len(words) else "")
        for variant, texts in found.items()
    }


def show(value: float | None, decimals: int | None = None) -> str:
    """Return a number as people read it: four digits, a power of ten where that is clearer; None is a dash.

    ``decimals``: that many instead of four digits, so that the numbers of a row are alike.
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if decimals and value:
        return f"{value:,.{decimals}f}"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 0.01 or abs(value) >= 1e5 else f"{value:.4g}"
