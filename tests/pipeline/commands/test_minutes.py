"""The table of minutes that ends a run."""

import pytest

from pipeline.commands.minutes import minutes_table, print_minutes

TASKS = ["a", "a-b", "c"]
TOOK = [
    ("settings", 6.0),
    ("prepare@c", 12.0),
    ("train@a-affine-10", 60.0),
    ("train@a-rq-spline-10", 30.0),
    ("train@a-affine-11", 6.0),
    ("train@a-b-affine-10", 120.0),
    ("train@c-affine-10", 18.0),
    ("train@c-affine-10", 6.0),
    ("report", 3.0),
]


def test_variants_and_seeds_of_a_task_are_summed():
    columns, rows = minutes_table(TOOK, TASKS)
    assert rows["a"][columns.index("train")] == pytest.approx(96 / 60)
    assert rows["c"][columns.index("train")] == pytest.approx(24 / 60)


def test_stages_of_shielded_variants_count_with_those_of_the_others():
    columns, rows = minutes_table([("sample@a-affine-10", 60.0), ("sample_shielded@a-affine-10", 30.0)], TASKS)
    assert (columns, rows["a"]) == (["sample", "in all"], [1.5, 1.5])


def test_a_task_whose_name_begins_like_another_keeps_its_own():
    columns, rows = minutes_table(TOOK, TASKS)
    assert rows["a-b"][columns.index("train")] == pytest.approx(2.0)


def test_a_stage_without_a_task_has_a_row_of_its_own():
    columns, rows = minutes_table(TOOK, TASKS)
    assert "report" not in columns and "settings" not in columns
    assert rows["report"] == [None, None, pytest.approx(3 / 60)]
    assert list(rows) == ["a", "a-b", "c", "settings", "report", "in all"]


def test_an_item_that_is_no_task_keeps_its_name():
    _, rows = minutes_table([("study@toy", 60.0), ("study@other", 120.0)], TASKS)
    assert rows == {"study@toy": [1.0], "study@other": [2.0], "in all": [3.0]}


def test_what_a_task_did_not_run_is_no_zero():
    columns, rows = minutes_table(TOOK, TASKS)
    assert rows["a"][columns.index("prepare")] is None


def test_the_last_row_and_the_last_column_are_sums():
    columns, rows = minutes_table(TOOK, TASKS)
    assert columns == ["prepare", "train", "in all"]
    assert rows["c"][-1] == pytest.approx(36 / 60)
    assert rows["in all"] == pytest.approx([12 / 60, 240 / 60, sum(s for _, s in TOOK) / 60])


def test_a_full_run_is_printed_in_a_row_per_task(capsys):
    tasks = [f"task{i}" for i in range(5)]
    stages = ("pretrain", "train", "sample", "evaluate", "stability")
    print_minutes([(f"{s}@{t}-v{v}-10", 90.0) for t in tasks for v in range(4) for s in stages], tasks)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert ["task0", *["6.0"] * 5, "30.0"] in lines
    assert ["in", "all", *["30.0"] * 5, "150.0"] in lines
    assert len(lines) < 12


def test_the_name_of_a_stage_is_not_cut(capsys):
    stages = ("prepare", "pretrain", "train", "shield", "stability", "sample", "evaluate")
    print_minutes([*((f"{stage}@a-x-10", 60.0) for stage in stages), ("study_checkerboard_of_many", 60.0)], TASKS)
    assert "…" not in capsys.readouterr().out
