"""AUC and rank correlation on cases that can be counted by hand, and the curve of paper A, Fig. 4."""

import pytest

from pipeline.stability.measure.ranking import by_rank, ranking


@pytest.mark.parametrize(
    ("scores", "shares", "auc", "correlation"),
    [
        ([1, 2, 3, 4], [0, 0, 0.1, 0.2], 1.0, 0.9486833),  # Pearson of the ranks 1 2 3 4 and 1.5 1.5 3 4
        ([4, 3, 2, 1], [0, 0, 0.1, 0.2], 0.0, -0.9486833),
        ([1, 2, 3, 4], [0, 0.3, 0, 0.4], 0.75, 0.6324555),  # of 4 pairs (bad, good) one is in the wrong order
        ([5, 5, 1, 1], [0, 0.5, 0, 0.5], 0.5, 0.0),  # ties count half
    ],
)
def test_cases_counted_by_hand(scores, shares, auc, correlation):
    found = ranking(scores, shares)
    assert found.auc == pytest.approx(auc) and found.rank_correlation == pytest.approx(correlation, abs=1e-6)
    assert found.reasons == {}


@pytest.mark.parametrize(
    ("scores", "shares", "reasons"),
    [
        ([1, 2, 3], [0, 0, 0], {"auc": "no artifact in any", "rank_correlation": "no artifact in any"}),
        ([1, 2, 3], [0.1, 0.2, 0.3], {"auc": "an artifact in all"}),
        ([1, 2, 3], [1, 1, 1], {"auc": "an artifact in all", "rank_correlation": "all shares are equal"}),
        ([2, 2, 2], [0, 0.1, 0.3], {"rank_correlation": "all scores are equal"}),
        ([], [], {"auc": "nothing is scored", "rank_correlation": "nothing is scored"}),
    ],
)
def test_what_cannot_be_said_has_its_reason(scores, shares, reasons):
    found = ranking(scores, shares)
    assert found.reasons == reasons
    assert {name for name in ("auc", "rank_correlation") if getattr(found, name) is None} == set(reasons)


def test_the_curve_begins_at_the_highest_score():
    scores, shares = [1.0, 4.0, 2.0, 3.0], [0.0, 0.8, 0.1, 0.3]
    assert by_rank(scores, shares, 2) == [(25.0, pytest.approx(0.55)), (75.0, pytest.approx(0.05))]
    assert [share for _, share in by_rank(scores, shares, 50)] == [0.8, 0.3, 0.1, 0.0]


def test_stretches_of_unequal_length_hold_every_case_once():
    curve = by_rank(list(range(7)), [1.0] * 7, 3)
    assert [share for _, share in curve] == [1.0, 1.0, 1.0] and curve[-1][0] < 100 and by_rank([], [], 3) == []
