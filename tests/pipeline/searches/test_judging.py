"""The Pareto front and the winner, against what is found by hand."""

from __future__ import annotations

import pytest

from pipeline.config import SearchConfig
from pipeline.searches.judging import front, winner
from pipeline.searches.trial import Result

# accuracy (higher is better), condition number (lower is better)
CASES = {
    "best": (98.0, 100.0),
    "near": (97.5, 10.0),
    "beaten by near": (97.0, 20.0),
    "stable": (90.0, 2.0),
    "beaten by stable": (89.0, 3.0),
}


def config(**changes):
    return SearchConfig(
        **{"grids": [{"a": [1]}], "metrics": {"accuracy": "max", "condition": "min"}, "within": 1.0, **changes}
    )


def results(*points, status="finished"):
    return [Result(status, None, {"accuracy": x, "condition": y}) for x, y in points]


def test_the_front_holds_those_that_no_other_beats_in_both():
    found = front(config(), results(*CASES.values()))
    assert [list(CASES)[number] for number in found] == ["best", "near", "stable"]


def test_equal_trials_are_on_the_front_together():
    assert front(config(), results((98.0, 1.0), (98.0, 1.0), (97.0, 1.0))) == [0, 1]


@pytest.mark.parametrize(("within", "expected"), [(0.0, "best"), (0.4, "best"), (0.5, "near"), (8.0, "stable")])
def test_the_winner_is_the_most_stable_one_within_so_much_of_the_best(within, expected):
    number = winner(config(within=within), results(*CASES.values()))
    assert list(CASES)[number] == expected


def test_a_direction_turns_the_order():
    metrics = {"bits": "min", "least": "max"}
    found = [Result("finished", None, {"bits": x, "least": y}) for x, y in ((1.0, 0.1), (2.0, 0.5), (2.5, 0.4))]
    assert front(config(metrics=metrics), found) == [0, 1]
    assert winner(config(metrics=metrics, within=1.0), found) == 1


def test_a_trial_without_a_number_is_neither_best_nor_in_the_way():
    found = [
        *results((99.0, None), (None, 0.1), (98.0, 5.0)),
        *results((100.0, 0.0), status="stopped"),
        Result("diverged", "why"),
    ]
    assert front(config(), found) == [2]
    assert winner(config(), found) == 2


def test_where_no_trial_has_both_numbers_none_wins():
    assert winner(config(), [Result("diverged", "why"), *results((99.0, None))]) is None
