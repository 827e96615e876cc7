"""Rows that a benchmark measures one by one, kept after each: a run that was stopped goes on after the last."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.errors import SteadyflowError
from pipeline.files import read_csv, write_csv

Row = dict[str, Any]


class KeptRows:
    """A table's rows by what each is of: the texts of its columns ``key``."""

    def __init__(self, table: Path, key: Iterable[str], columns: Iterable[str]):
        """SteadyflowError if there is a table already that has other columns."""
        self.table, self.key, self.columns = table, tuple(key), tuple(columns)
        before = read_csv(table) if table.exists() else []
        if before and set(self.columns) != set(before[0]):
            raise SteadyflowError(f"{table} is of another version of this command; give another --out")
        self.rows: dict[tuple[str, ...], Row] = {self.key_of(row): row for row in before}

    def __contains__(self, key: tuple[str, ...]) -> bool:
        return key in self.rows

    def __getitem__(self, key: tuple[str, ...]) -> Row:
        return self.rows[key]

    def key_of(self, row: Row) -> tuple[str, ...]:
        """Return what a row is of."""
        return tuple("" if row[name] is None else str(row[name]) for name in self.key)

    def keep(self, row: Row) -> None:
        """Write the table with one row more, in place of that of the same key; columns that it lacks are empty."""
        whole = dict.fromkeys(self.columns) | row
        self.rows[self.key_of(whole)] = whole
        write_csv(self.table, self.columns, list(self.rows.values()))
