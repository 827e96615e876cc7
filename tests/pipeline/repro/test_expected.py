"""Which stage goes first, and the time left, against cases worked out by hand."""

import pytest

from pipeline.repro.expected import Plan

# short a, long b; c waits for a and is long, d for both
NEEDS = {"a": [], "b": [], "c": ["a"], "d": ["a", "b"]}
SECONDS = {"a": 1.0, "b": 5.0, "c": 10.0, "d": 2.0}


def test_the_longest_path_goes_first():
    plan = Plan(NEEDS, SECONDS)
    assert plan.ready([], []) == ["a", "b"]  # 1 + 10 against 5 + 2
    assert plan.ready(["a"], ["a", "b"]) == ["c"]
    assert plan.ready(["a", "b"], ["a", "b"]) == ["c", "d"]


def test_trainings_go_first_where_nothing_was_timed():
    plan = Plan({"evaluate@x": [], "prepare@x": [], "train@x": [], "stability@y": ["train@x"]}, {})
    assert plan.ready([], [])[0] == "train@x"


def test_dependents_are_all_that_wait():
    plan = Plan({**NEEDS, "e": ["d"]}, SECONDS)
    assert plan.dependents("b") == {"d", "e"}
    assert plan.dependents("a") == {"c", "d", "e"}


def test_time_left():
    plan = Plan(NEEDS, SECONDS)
    assert plan.left(list(NEEDS), {}, 2) is None  # nothing measured yet
    plan.took("b", 10.0)  # twice as slow as expected
    assert plan.left(["a", "c", "d"], {}, 1) == pytest.approx(2 * (1 + 10 + 2))
    assert plan.left(["a", "c", "d"], {}, 2) == pytest.approx(2 * (1 + 10))  # the path is longer than 13
    assert plan.left(["d"], {"c": 15.0}, 2) == pytest.approx(max((5 + 4) / 2, 5, 4))
    assert plan.left([], {"c": 1000.0}, 2) == 0.0
