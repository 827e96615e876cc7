"""Cells of the docs' tables: how numbers of several seeds are shown, and in which order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator

Row = dict[str, str]

SUPER_RESOLUTION = ("df2k_x4", "df2k_x8", "celeba_x8")
VARIANTS = {
    "affine": "affine",
    "bounded": "bounded",
    "rq_spline": "rq_spline",
    "shift_alone": "rq_spline, bounded shift",
    "certified_spline": "certified_spline",
}
ORDER = (*SUPER_RESOLUTION, "lol", "ve_lol", *VARIANTS)  # of tasks and variants


def column(rows: Iterable[Row], name: str) -> list[float]:
    """Return a column; what is not finite or was not found is infinite."""
    return [float(row[name]) if row[name] else math.inf for row in rows]


def percent(share: float) -> str:
    return f"{100 * share:.2g}" if share else "0"


def size(value: float) -> str:
    if value == math.inf:
        return "not finite"
    return f"{value:.1e}".replace("e+", "e") if value >= 1e4 else f"{value:.3g}"


def largest(values: list[float]) -> str:
    return size(max(values))


def span(values: list[float], shown: Callable[[float], str]) -> str:
    least, most = (shown(of(values)) for of in (min, max)) if values else ("", "")
    return least if least == most else f"{least} .. {most}"


def mean(values: list[float], digits: int) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {spread:.{digits}f}"


def both(trained: str, shielded: str) -> str:
    return f"{trained} -> {shielded}"


def header(names: Iterable[str]) -> Iterator[str]:
    names = list(names)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def grouped(rows: list[Row], name: str) -> Iterator[tuple[str, list[Row]]]:
    """Return the values of a column in the order of VARIANTS and tasks, each with its rows."""
    for value in sorted({row[name] for row in rows}, key=lambda value: (*ORDER, value).index(value)):
        yield value, [row for row in rows if row[name] == value]
