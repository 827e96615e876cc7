"""Tables of the docs that long runs fill, written from what these measured.

    python benchmarks/tables.py                            # writes the tables into the documents
    python benchmarks/tables.py --add shields/shield.csv   # takes in rows first, in place of those of equal keys

Rows of BENCHMARKS are kept in benchmarks/measured/, by the benchmark's name, so that measurements of hours can
come from several runs. Rows of another version of the code have equal keys: when it changes what they say, measure
them anew. In a document a table stands between `<!-- table: NAME -->` and `<!-- /table -->`; a test says that it is
what this command writes.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import ablation
import ablation_tables
import published_tables
import shield
import shield_published
import shield_tables
import shield_transfer
import transfer_tables
from table_cells import Row

from pipeline.console import run_main, say
from pipeline.errors import SteadyflowError
from pipeline.files import read_csv, read_text, write_csv, write_text

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "measured"
# Each has COLUMNS, of which KEY says what a row is of.
BENCHMARKS = (shield, shield_published, shield_transfer, ablation)
DIGITS = 5
PROVEN = ("bound", "certified_value", "good_latent", "good_draw")  # these are not rounded, which could make them untrue


class Table(NamedTuple):
    """A table of a document."""

    document: str
    benchmark: ModuleType
    lines: Callable[[list[Row]], Iterable[str]]


TABLES = {
    "three seeds, LPIPS": Table("README.md", shield, shield_tables.lpips),
    "three seeds, bad values": Table("README.md", shield, shield_tables.bad_values),
    "three seeds, explosions": Table("docs/shield.md", shield, shield_tables.explosions),
    "three seeds, cost": Table("docs/shield.md", shield, shield_tables.cost),
    "certain": Table("docs/shield.md", shield, shield_tables.certain),
    "parts": Table("docs/shield.md", shield, shield_tables.parts),
    "without room": Table("docs/shield.md", shield, shield_tables.without_room),
    "long trainings, shielded": Table("docs/shield.md", shield, shield_tables.long_trainings),
    "transfer attacks": Table("docs/shield.md", shield_transfer, transfer_tables.transfer_attacks),
    "published networks": Table("docs/shield.md", shield_published, published_tables.published),
    "without tails": Table("docs/shield.md", shield, shield_tables.without_tails),
    "other pictures": Table("docs/shield.md", shield, shield_tables.other_pictures),
    "three seeds, low light": Table("docs/training.md", shield, shield_tables.low_light),
    "long trainings": Table("docs/training.md", ablation, ablation_tables.survival),
    "each bound, long": Table("docs/certified-spline.md", ablation, ablation_tables.each_bound),
    "each bound": Table("docs/certified-spline.md", shield, shield_tables.each_bound),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="tables that these benchmarks wrote")
    for file in parser.parse_args().add:
        say(f"{file}: {add(file, MEASURED)} rows taken")
    rows, documents = {each: read_csv(kept(MEASURED, each)) for each in BENCHMARKS}, {}
    for name, table in TABLES.items():
        text = documents.get(table.document) or read_text(ROOT / table.document)
        documents[table.document] = filled(text, name, rows[table.benchmark])
    for document, text in documents.items():
        write_text(ROOT / document, text)
        say(f"{document}: {', '.join(name for name, table in TABLES.items() if table.document == document)}")


def add(file: Path, folder: Path) -> int:
    """Take a benchmark's rows into its table in ``folder``, what is measured rounded; return how many there were."""
    new = read_csv(file) if file.is_file() else []
    benchmark = next((each for each in BENCHMARKS if new and set(each.COLUMNS) == set(new[0])), None)
    if benchmark is None:
        names = " or ".join(f"benchmarks/{each.__name__}.py" for each in BENCHMARKS)
        raise SteadyflowError(f"{file} is no table of this version of {names}; give one that it has written")
    before = read_csv(kept(folder, benchmark)) if kept(folder, benchmark).exists() else []
    added = [
        {name: value if name in (*benchmark.KEY, *PROVEN) else _rounded(value) for name, value in row.items()}
        for row in new
    ]
    rows = {tuple(row[name] for name in benchmark.KEY): row for row in [*before, *added]}
    write_csv(kept(folder, benchmark), benchmark.COLUMNS, [rows[key] for key in sorted(rows)])
    return len(new)


def kept(folder: Path, benchmark: ModuleType) -> Path:
    """Return where rows of a benchmark are kept."""
    return folder / f"{benchmark.__name__}.csv"


def filled(text: str, name: str, rows: list[Row]) -> str:
    """Return a document with one of its tables written anew. SteadyflowError if the document has no place for it."""
    place = re.compile(rf"(<!-- table: {re.escape(name)} -->\n)(?:(?!<!-- ).)*(<!-- /table -->)", re.DOTALL)
    body = "".join(f"{line}\n" for line in TABLES[name].lines(rows))
    found, count = place.subn(lambda at: f"{at[1]}\n{body}\n{at[2]}", text)
    if count != 1:
        raise SteadyflowError(f"{TABLES[name].document} has {count} places for the table {name}; give it one")
    return found


def _rounded(value: str) -> str:
    try:
        return value if value.isdigit() else f"{float(value):.{DIGITS}g}"
    except ValueError:
        return value


if __name__ == "__main__":
    run_main(main)
