"""What a benchmark measured is kept row by row, in place of rows of the same key, and never under other columns."""

import pytest
from kept_rows import KeptRows

from pipeline.errors import SteadyflowError
from pipeline.files import read_csv


def test_a_run_goes_on_with_what_was_kept(tmp_path):
    rows = KeptRows(tmp_path / "out" / "rows.csv", ("seed", "task"), ("task", "seed", "found", "more"))
    rows.keep({"task": "lol", "seed": 10, "found": 0.5})
    assert rows["10", "lol"] == {"task": "lol", "seed": 10, "found": 0.5, "more": None}
    rows.keep({"task": "lol", "seed": 11, "found": None, "more": 2})
    again = KeptRows(tmp_path / "out" / "rows.csv", ("seed", "task"), ("task", "seed", "found", "more"))
    assert ("10", "lol") in again and ("12", "lol") not in again
    assert again["11", "lol"] == {"task": "lol", "seed": "11", "found": "", "more": "2"}
    again.keep({"task": "lol", "seed": "10", "found": 7})
    assert [row["found"] for row in read_csv(tmp_path / "out" / "rows.csv")] == ["7", ""]


def test_a_table_with_other_columns_is_refused(tmp_path):
    table = tmp_path / "rows.csv"
    KeptRows(table, ("seed",), ("seed", "found")).keep({"seed": 10})
    for columns in (("seed", "found", "lost"), ("seed",)):
        with pytest.raises(SteadyflowError, match=r"rows\.csv is of another version .* another --out"):
            KeptRows(table, ("seed",), columns)
