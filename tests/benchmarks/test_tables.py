"""Tables of the docs are what was measured, and rows that are taken in replace those of equal keys alone."""

import pytest
import shield
from tables import MEASURED, ROOT, SOURCES, TABLES, add, filled

from pipeline.errors import SteadyflowError
from pipeline.files import read_csv, write_csv


@pytest.mark.parametrize("name", TABLES)
def test_a_document_has_the_table_of_what_was_measured(name):
    text = (ROOT / TABLES[name].document).read_text(encoding="utf-8")
    rows = read_csv(MEASURED / TABLES[name].source)
    assert filled(text, name, rows) == text, "write it anew: python benchmarks/tables.py"
    assert filled(text, name, rows[: len(rows) // 2]) != text


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_kept_has_the_columns_of_its_benchmark_and_no_row_twice(name):
    rows = read_csv(MEASURED / name)
    assert rows and all(tuple(row) == SOURCES[name].columns for row in rows)
    assert len({tuple(row[key] for key in SOURCES[name].key) for row in rows}) == len(rows)


def row(**values):
    return dict.fromkeys(shield.COLUMNS, "") | {"task": "lol", "variant": "affine", "seed": "10"} | values


def write(folder, *rows):
    return write_csv(folder / "shield.csv", shield.COLUMNS, rows)


def test_rows_are_taken_in_once_and_rounded(tmp_path):
    kept = tmp_path / "kept"
    assert add(write(tmp_path, row(quantile="none", lpips="0.1"), row(quantile="0.003", lpips="0.2")), kept) == 2
    assert add(write(tmp_path, row(quantile="0.003", lpips="0.123456789")), kept) == 1
    assert [(found["quantile"], found["lpips"]) for found in read_csv(kept / "shield.csv")] == [
        ("0.003", "0.12346"),
        ("none", "0.1"),
    ]


def test_a_table_of_another_kind_or_version_is_refused(tmp_path):
    with pytest.raises(SteadyflowError, match=r"no table that is kept; allowed: shield\.csv"):
        add(write_csv(tmp_path / "growth.csv", ("arm",), []), tmp_path / "kept")
    with pytest.raises(SteadyflowError, match="of another version"):
        add(write_csv(tmp_path / "shield.csv", ("task",), [{"task": "lol"}]), tmp_path / "kept")


def test_a_document_without_a_place_for_its_table_is_named():
    with pytest.raises(SteadyflowError, match=r"shield\.md has 0 places"):
        filled("no table here\n", next(iter(TABLES)), [])
