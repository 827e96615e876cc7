"""The table of what benchmarks/shield_published.py measured."""

from __future__ import annotations

from collections.abc import Iterator

from shield_published import NETWORKS, QUANTILE
from table_cells import Row, arrow, column, header, line, percent, proven, size

from pipeline.errors import SteadyflowError


def published(rows: list[Row]) -> Iterator[str]:
    """Yield what the usual shield does to each network. SteadyflowError if one is not measured."""
    yield from header(
        (
            *("network", "values", "largest before: photographs, stress inputs"),
            *("shielded: largest on stress inputs; before tails", "bad values there, %; before tails"),
            *("certified bound", "held-out photographs, before against after, dB", "seconds"),
        )
    )
    measured = {row["network"]: row for row in rows if float(row["quantile"]) == QUANTILE}
    for name, network in NETWORKS.items():
        if name not in measured:
            raise SteadyflowError(f"{name} is not measured; run benchmarks/shield_published.py --networks {name}")
        yield _line(network.label, measured[name])


def _line(label: str, row: Row) -> str:
    def number(name: str) -> float:
        return column([row], name)[0]

    bad = arrow(*(percent(number(f"{what}_bad")) for what in ("stress", "shielded")))
    return line(
        (
            *(label, f"{number('values'):,.0f}"),
            ", ".join(size(number(f"{where}_largest")) for where in ("photographs", "stress")),
            "; ".join(size(number(f"{what}_largest")) for what in ("shielded", "no_tails")),
            f"{bad}; {percent(number('no_tails_bad'))}",
            *(proven(number("bound")), f"{number('held_out'):.1f}", f"{60 * number('minutes'):.0f}"),
        )
    )
