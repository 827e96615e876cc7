"""Cells of the docs' tables: what variants are called, and how numbers of several seeds are shown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.errors import SteadyflowError
from pipeline.params import load_params
from pipeline.rounding import rounded_up

PARAMS = load_params(Path(__file__).parents[1] / "params.yaml")
LABELS = {name: name for name in PARAMS.variants} | {"shift_alone": "certified_spline, free slopes"}  # in this order
BOUNDED = {"slopes_alone": "slopes", "shift_alone": "shift", "certified_spline": "shift and slopes"}  # what alone
OWN_TASK = "own_x4"  # of a folder of photographs, where trainings are long

Row = dict[str, str]


def column(rows: Iterable[Row], name: str, blank: float | None = None) -> list[float]:
    """Return a column. ``blank``: what an empty cell and NaN are; without it SteadyflowError if there is one."""
    found = []
    for row in rows:
        value = float(row[name] or math.nan)
        if math.isnan(value) and blank is None:
            raise SteadyflowError(f"a row has no {name}: {', '.join(filter(None, row.values()))}; measure it anew")
        found.append(blank if blank is not None and math.isnan(value) else value)
    return found


def percent(share: float) -> str:
    """Return a share in percent, two digits of it."""
    return f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"


def size(value: float) -> str:
    """Return a magnitude; an infinite one is not finite."""
    if value == math.inf:
        return "not finite"
    if value >= 1e3:
        return f"{value:,.0f}" if value < 1e4 else f"{value:.1e}".replace("e+", "e")
    return f"{value:.3g}"


def proven(bound: float) -> str:
    """Return an upper bound; an infinite one is none."""
    if bound == math.inf:
        return "none"
    return rounded_up(bound, 3) if bound < 1e3 else f"{float(rounded_up(bound, 2)):.1e}".replace("e+", "e")


def span(values: list[float], shown: Callable[[float], str]) -> str:
    """Return the least and the most."""
    least, most = shown(min(values)), shown(max(values))
    return least if least == most else f"{least} .. {most}"


def mean(values: list[float], digits: int) -> str:
    """Return the mean, and the standard deviation of several."""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"


def round_trips(of: Iterable[Row], names: Iterable[str]) -> str:
    """Return the largest errors of round trips, in float32 and with nets in bfloat16."""
    trips = (max(column(of, name, math.inf)) for name in names)
    return "; ".join("not finite" if trip == math.inf else f"{trip:.0e}" for trip in trips)


def arrow(before: str, after: str) -> str:
    """Return both."""
    return f"{before} -> {after}"


def header(names: Iterable[str]) -> Iterator[str]:
    """Yield the first two lines of a table."""
    names = list(names)
    yield line(names)
    yield f"|{'---|' * len(names)}"


def line(cells: Iterable[str]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(cells)} |"
