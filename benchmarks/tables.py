"""Tables of the docs that long runs fill, written from what these measured.

    python benchmarks/tables.py                            # writes the tables into the documents
    python benchmarks/tables.py --add shields/shield.csv   # takes in rows first, in place of those of equal keys

Rows of benchmarks/shield.py are kept in benchmarks/measured/, so that measurements of hours can come from several runs.
Rows of another version of the code have equal keys: when it changes what they say, measure them anew. In a document a
table stands between `<!-- table: NAME -->` and `<!-- /table -->`; a test says that it is what this command writes.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import shield
import shield_tables
from table_cells import Row

from pipeline.console import run_main, say
from pipeline.errors import SteadyflowError
from pipeline.files import read_csv, read_text, write_csv, write_text

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "measured" / "shield.csv"
DIGITS = 5


class Table(NamedTuple):
    """A table of a document."""

    document: str
    lines: Callable[[list[Row]], Iterable[str]]


TABLES = {
    "three seeds, LPIPS": Table("README.md", shield_tables.lpips),
    "three seeds, bad values": Table("README.md", shield_tables.bad_values),
    "three seeds, explosions": Table("docs/shield.md", shield_tables.explosions),
    "three seeds, cost": Table("docs/shield.md", shield_tables.cost),
    "without tails": Table("docs/shield.md", shield_tables.without_tails),
    "other pictures": Table("docs/shield.md", shield_tables.other_pictures),
    "three seeds, low light": Table("docs/training.md", shield_tables.low_light),
    "free slopes": Table("docs/certified-spline.md", shield_tables.free_slopes),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="tables that benchmarks/shield.py wrote")
    for file in parser.parse_args().add:
        say(f"{file}: {add(file, MEASURED)} rows taken")
    rows, documents = read_csv(MEASURED), {}
    for name, table in TABLES.items():
        text = documents.get(table.document) or read_text(ROOT / table.document)
        documents[table.document] = filled(text, name, rows)
    for document, text in documents.items():
        write_text(ROOT / document, text)
        say(f"{document}: {', '.join(name for name, table in TABLES.items() if table.document == document)}")


def add(file: Path, kept: Path) -> int:
    """Take a benchmark's rows in, rounded; return how many there were."""
    new = read_csv(file) if file.is_file() else []
    if not new or set(shield.COLUMNS) - set(new[0]):
        raise SteadyflowError(f"{file} is no table of this version of benchmarks/shield.py; give one that it wrote")
    rows = {_key(row): row for row in (read_csv(kept) if kept.exists() else [])}
    rows |= {_key(row): {name: _rounded(name, row[name]) for name in shield.COLUMNS} for row in new}
    write_csv(kept, shield.COLUMNS, [rows[key] for key in sorted(rows)])
    return len(new)


def filled(text: str, name: str, rows: list[Row]) -> str:
    """Return a document with one of its tables written anew. SteadyflowError if the document has no place for it."""
    place = re.compile(rf"(<!-- table: {re.escape(name)} -->\n)(?:(?!<!-- ).)*(<!-- /table -->)", re.DOTALL)
    body = "".join(f"{line}\n" for line in TABLES[name].lines(rows))
    found, count = place.subn(lambda at: f"{at[1]}\n{body}\n{at[2]}", text)
    if count != 1:
        raise SteadyflowError(f"{TABLES[name].document} has {count} places for the table {name}; give it one")
    return found


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in shield.KEY)


def _rounded(name: str, value: str) -> str:
    try:
        return value if name in shield.KEY else f"{float(value):.{DIGITS}g}"
    except ValueError:
        return value


if __name__ == "__main__":
    run_main(main)
