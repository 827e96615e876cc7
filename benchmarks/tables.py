"""Tables of the docs that many long runs fill, written from what these measured.

    python benchmarks/tables.py                            # writes the tables into docs/
    python benchmarks/tables.py --add shields/shield.csv   # takes in rows first, in place of those of equal keys

Rows of benchmarks/shield.py and benchmarks/ablation.py are kept in benchmarks/measured/, so that measurements of hours
can come from several runs. In a document a table stands between `<!-- table: NAME -->` and `<!-- /table -->`; a test
says that it is what this command writes.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import ablation
import shield

from pipeline.console import run_main, say
from pipeline.errors import SteadyflowError
from pipeline.files import read_csv, read_text, write_csv, write_text

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "measured"
DIGITS = 5
SUPER_RESOLUTION = ("df2k_x4", "df2k_x8", "celeba_x8")

Row = dict[str, str]


class Source(NamedTuple):
    """A benchmark whose rows are kept."""

    key: tuple[str, ...]
    columns: tuple[str, ...]


class Table(NamedTuple):
    """A table of a document."""

    document: str
    source: str  # a key of SOURCES
    lines: Callable[[list[Row]], Iterable[str]]


SOURCES = {"shield.csv": Source(shield.KEY, shield.COLUMNS), "ablation.csv": Source(ablation.KEY, ablation.COLUMNS)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="tables that these benchmarks wrote")
    for file in parser.parse_args().add:
        say(f"{file}: {add(file)} rows taken")
    for name, table in TABLES.items():
        document = ROOT / "docs" / table.document
        write_text(document, filled(read_text(document), name, read_csv(MEASURED / table.source)))
        say(f"docs/{table.document}: {name}")


def add(file: Path, kept: Path = MEASURED) -> int:
    """Take the rows of a benchmark's table in, rounded; return how many there were."""
    if file.name not in SOURCES:
        raise SteadyflowError(f"{file}: {file.name} is no table that is kept; allowed: {', '.join(SOURCES)}")
    source, new = SOURCES[file.name], read_csv(file)
    if new and set(source.columns) - set(new[0]):
        raise SteadyflowError(f"{file} is of another version of its benchmark; measure anew")
    table = kept / file.name
    rows = {_key(source, row): row for row in (read_csv(table) if table.exists() else [])}
    rows |= {_key(source, row): {name: _rounded(source, name, row[name]) for name in source.columns} for row in new}
    write_csv(table, source.columns, [rows[key] for key in sorted(rows)])
    return len(new)


def filled(text: str, name: str, rows: list[Row]) -> str:
    """Return a document with one of its tables written anew. SteadyflowError if the document has no place for it."""
    place = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- /table -->)", re.DOTALL)
    body = "".join(f"{line}\n" for line in TABLES[name].lines(rows))
    found, count = place.subn(lambda at: f"{at[1]}\n{body}\n{at[2]}", text)
    if count != 1:
        raise SteadyflowError(f"{TABLES[name].document} has {count} places for the table {name}; give it one")
    return found


def _key(source: Source, row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in source.key)


def _rounded(source: Source, name: str, value: str) -> str:
    try:
        return value if name in source.key else f"{float(value):.{DIGITS}g}"
    except ValueError:
        return value


def _values(rows: Iterable[Row], name: str) -> list[float]:
    """Return a column; what is not finite or was not found is infinite."""
    return [float(row[name]) if row[name] else math.inf for row in rows]


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share else "0"


def _largest(values: list[float]) -> str:
    most = max(values)
    return (
        f"{most:.1e}".replace("e+", "e")
        if 1e4 <= most < math.inf
        else f"{most:.3g}"
        if most < math.inf
        else "not finite"
    )


def _mean(values: list[float], digits: int) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {spread:.{digits}f}"


def _both(trained: str, shielded: str) -> str:
    return f"{trained} -> {shielded}"


def _header(names: Iterable[str]) -> Iterator[str]:
    names = list(names)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _three_seeds(rows: list[Row]) -> Iterator[tuple[str, str, list[Row], list[Row]]]:
    """Return task, variant, and the rows as trained and shielded, seeds in the same order."""
    tasks = dict.fromkeys(row["task"] for row in rows)
    for task, (variant, shown) in itertools.product(tasks, VARIANTS.items()):
        of = sorted(
            (row for row in rows if (row["task"], row["variant"]) == (task, variant)), key=lambda row: row["seed"]
        )
        trained = [row for row in of if row["quantile"] == shield.TRAINED]
        shielded = [row for row in of if row["quantile"] != shield.TRAINED]
        if trained and [row["seed"] for row in trained] == [row["seed"] for row in shielded]:
            yield task, shown, trained, shielded


def _safety(rows: list[Row]) -> Iterator[str]:
    """Return what was found of explosions, the worst of all seeds."""
    yield from _header(
        (
            *("task", "variant", "bad on stress inputs, %", "largest there", "bad on photographs, %"),
            *("input attacked: bad, %", "largest", "latents within 3 sigma too: largest", "bound"),
            "log10(bound / attack), least",
        )
    )
    for task, variant, *pair in _three_seeds(rows):
        cells = []
        for of in pair:
            attacked = {goal: [f"{where}_drawn_{goal}" for where in ("near", "free")] for goal in shield.GOALS}
            bounds = _values(of, "bound")
            cells.append(
                (
                    _percent(max(_values(of, "bad_share_stress"))),
                    _largest(_values(of, "largest_stress")),
                    _percent(max(_values(of, "bad_share_photographs"))),
                    _percent(max(value for name in attacked["bad_share"] for value in _values(of, name))),
                    _largest([value for name in attacked["largest"] for value in _values(of, name)]),
                    _largest([*_values(of, "near_3_sigma_largest"), *_values(of, "free_3_sigma_largest")]),
                    "none" if max(bounds) == math.inf else _largest(bounds),
                    "" if max(bounds) == math.inf else f"{min(_values(of, shield.RATIO)):.2f}",
                )
            )
        yield _line([task, variant, *itertools.starmap(_both, zip(*cells, strict=True))])


def _cost(rows: list[Row]) -> Iterator[str]:
    """Return what shields cost: means and standard deviations over seeds, agreement and LPIPS the worst."""
    yield from _header(
        (
            *("task", "variant", "agreement, dB, least", "LPIPS", "change of it, %, most"),
            *("worst LR-PSNR or PSNR of the mean, dB", "bits/dim", "round trip, most", "minutes: training, shield"),
        )
    )
    for task, variant, trained, shielded in _three_seeds(rows):
        lpips = [_values(of, "lpips") for of in (trained, shielded)]
        changes = [abs(after / before - 1) for before, after in zip(*lpips, strict=True)]
        fidelity = "lr_psnr_worst" if task in SUPER_RESOLUTION else "psnr"
        yield _line(
            (
                *(task, variant, f"{min(_values(shielded, 'held_out_agreement')):.1f}"),
                _both(*(_mean(values, 3) for values in lpips)),
                f"{100 * max(changes):.2f}",
                _both(*(_mean(_values(of, fidelity), 1) for of in (trained, shielded))),
                _both(*(_mean(_values(of, "bits_per_dim"), 2) for of in (trained, shielded))),
                _both(*(f"{max(_values(of, 'round_trip')):.0e}" for of in (trained, shielded))),
                ", ".join(f"{statistics.fmean(_values(of, 'minutes')):.1f}" for of in (trained, shielded)),
            )
        )


VARIANTS = {
    "affine": "affine",
    "bounded": "bounded",
    "rq_spline": "rq_spline",
    "shift_alone": "rq_spline, bounded shift",
    "certified_spline": "certified_spline",
}
TABLES = {
    "three seeds, explosions": Table("shield.md", "shield.csv", _safety),
    "three seeds, cost": Table("shield.md", "shield.csv", _cost),
}


if __name__ == "__main__":
    run_main(main)
