"""Tables of the docs that many long runs fill, written from what these measured.

    python benchmarks/tables.py                            # writes the tables into the documents
    python benchmarks/tables.py --add shields/shield.csv   # takes in rows first, in place of those of equal keys

Rows of benchmarks/shield.py and benchmarks/ablation.py are kept in benchmarks/measured/, so that measurements of hours
can come from several runs. In a document a table stands between `<!-- table: NAME -->` and `<!-- /table -->`; a test
says that it is what this command writes.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import ablation
import ablation_tables
import shield
import shield_tables
from cells import Row

from pipeline.console import run_main, say
from pipeline.errors import SteadyflowError
from pipeline.files import read_csv, read_text, write_csv, write_text

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "measured"
DIGITS = 5


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
        document = ROOT / table.document
        write_text(document, filled(read_text(document), name, read_csv(MEASURED / table.source)))
        say(f"{table.document}: {name}")


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


TABLES = {
    "three seeds, LPIPS": Table("README.md", "shield.csv", shield_tables.fidelity),
    "three seeds, bad values": Table("README.md", "shield.csv", shield_tables.explosions),
    "three seeds, explosions": Table("docs/shield.md", "shield.csv", shield_tables.safety),
    "three seeds, cost": Table("docs/shield.md", "shield.csv", shield_tables.cost),
    "without tails": Table("docs/shield.md", "shield.csv", shield_tables.without_tails),
    "other pictures": Table("docs/shield.md", "shield.csv", shield_tables.calibrated),
    "three seeds, low light": Table("docs/training.md", "shield.csv", shield_tables.low_light),
    "which bound": Table("docs/certified-spline.md", "shield.csv", shield_tables.which_bound),
    "long trainings": Table("docs/training.md", "ablation.csv", ablation_tables.survival),
}


if __name__ == "__main__":
    run_main(main)
