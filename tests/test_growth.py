"""Which kind of layer lets features grow, from variances whose growth is known."""

import math

import pytest

from pipeline.stability.growth import growth_by_kind

LABELS = ["latent", "level 2 step 1 coupling", "level 2 step 1 1x1", "level 2 squeeze", "level 1 step 1 coupling"]


def test_factors_of_a_kind_are_multiplied_and_compared_with_photographs():
    variances = {
        "in_distribution": [1.0, 4.0, 4.0, 4.0, 4.0],  # couplings: 2 x 1
        "calm": [1.0, 1.0, 1.0, 1.0, 1.0],
        "wild": [1.0, 16.0, 144.0, 144.0, 3600.0],  # couplings: 4 x 5, the 1x1: 3
        "broken": [1.0, 1e30, math.inf, math.nan, math.nan],
    }
    assert growth_by_kind(LABELS, variances) == {"coupling": pytest.approx(10.0), "1x1": pytest.approx(3.0)}


def test_without_a_finite_stress_input_there_is_nothing_to_say():
    variances = {"in_distribution": [1.0] * 5, "broken": [math.inf] * 5}
    assert growth_by_kind(LABELS, variances) == {}
