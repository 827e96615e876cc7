"""Tails beyond the contract: pictures pass, what is beyond comes nearer, by as much as is said."""

import pytest
import torch

from models.restoration.tails import Tails

TAILS = Tails(0.1, 0.25)


def column(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def test_what_a_picture_can_be_passes_as_it_is():
    x = column(-0.1, 0.0, 0.3, 1.0, 1.1)
    for found, log_det in (TAILS(x), TAILS.inverse(x)):
        assert torch.equal(found, x) and float(log_det) == 0.0


def test_of_what_leaves_the_range_a_share_does():
    z = column(-4.1, -0.5, 1.5, 5.1)
    torch.testing.assert_close(TAILS.inverse(z)[0], column(-1.1, -0.2, 1.2, 2.1))


def test_what_is_not_finite_stays_so():
    found = TAILS.inverse(column(float("inf"), float("-inf"), float("nan")))[0].flatten()
    assert found[0] == float("inf") and found[1] == float("-inf") and found[2].isnan()


def test_two_values_come_no_farther_apart_than_is_said():
    distance = 10.0 ** torch.linspace(-2, 1, 31, dtype=torch.float64)
    starts = torch.linspace(-12.0, 2.0, 1401, dtype=torch.float64).view(1, 1, 1, -1)
    for each, most in zip(distance, TAILS.farthest_apart(distance), strict=True):
        apart = TAILS.inverse(starts + each)[0] - TAILS.inverse(starts)[0]
        assert 0.98 * most <= apart.max() <= most * (1 + 1e-12)


@pytest.mark.parametrize(("slack", "slope"), [(-0.1, 0.5), (0.1, 0.0), (0.1, 1e-40), (0.1, 1.5), (float("nan"), 0.5)])
def test_what_is_no_bijection_or_draws_nothing_nearer_is_refused(slack, slope):
    with pytest.raises(ValueError, match="slack must be 0 or more and slope in"):
        Tails(slack, slope)
