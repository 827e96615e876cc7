"""The table of what benchmarks/shield_transfer.py measured."""

from __future__ import annotations

import math
from collections.abc import Iterator

from shield_transfer import LATENTS, WAYS
from table_cells import PARAMS, Row, column, header, line, size


def other_ways(rows: list[Row]) -> Iterator[str]:
    """Yield what every way of an attack found of each shielded flow."""
    yield from header(("task", "variant", "latents", *WAYS))
    for task in PARAMS.tasks:
        for variant in PARAMS.shields:
            for latents in LATENTS:
                of = [row for row in rows if (row["task"], row["variant"], row["latents"]) == (task, variant, latents)]
                if of:
                    found = (max(column(of, way.replace(" ", "_"), math.inf)) for way in WAYS)
                    yield line((f"`{task}`", variant, latents, *map(size, found)))
