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
    }
    assert growth_by_kind(LABELS, variances) == {"coupling": pytest.approx(10.0), "1x1": pytest.approx(3.0)}


def test_an_input_that_explodes_leaves_no_number():
    variances = {"in_distribution": [1.0] * 5, "calm": [1.0] * 5, "broken": [1.0, 1e30, math.inf, math.nan, math.nan]}
    assert all(math.isnan(factor) for factor in growth_by_kind(LABELS, variances).values())


def test_growth_beyond_a_float_is_infinite():
    labels = ["latent", *["level 1 step 1 coupling", "level 1 step 1 actnorm"] * 5]
    variances = {"in_distribution": [1.0] * 11, "wild": [*[1e-150, 1e150] * 5, 1e-150]}
    assert growth_by_kind(labels, variances) == {"coupling": math.inf, "actnorm": 0.0}
