"""The table of what benchmarks/shield_transfer.py measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from shield_transfer import LATENTS, STARTS, STEPS, WAYS
from table_cells import PARAMS, Row, column, header, line, size

from pipeline.errors import SteadyflowError


def transfer_attacks(rows: list[Row]) -> Iterator[str]:
    """Yield what every way of an attack found of the shielded variants that are measured; all tasks must be."""
    yield from header(("task", "variant", "latents", *WAYS))
    usual = {"seed": str(PARAMS.seeds[0]), "steps": str(STEPS), "starts": str(STARTS)}
    of = [row for row in rows if all(row[name] == value for name, value in usual.items())]
    measured = {(row["task"], row["variant"], row["latents"]): row for row in of}
    variants = [variant for variant in PARAMS.shields if any(key[1] == variant for key in measured)]
    for task, variant, latents in itertools.product(PARAMS.tasks, variants, LATENTS):
        if (task, variant, latents) not in measured:
            raise SteadyflowError(f"{task} {variant}: attacks with latents {latents} are not measured")
        row = measured[task, variant, latents]
        found = (column([row], way.replace(" ", "_"), math.inf)[0] for way in WAYS)
        yield line((f"`{task}`", variant, latents, *map(size, found)))
