"""Which kind of layer lets features grow, from variances whose growth is known."""

import math

import pytest

from models.flow.place import Place
from pipeline.stability.measure.growth import growth_by_kind, growth_by_layer

PLACES = [Place(2, 1, "noise coupling"), Place(2, 1, "1x1"), Place(2, 0, "squeeze"), Place(1, 1, "noise coupling")]


def test_factors_of_a_kind_are_multiplied_and_compared_with_photographs():
    variances = {
        "in_distribution": [1.0, 4.0, 4.0, 4.0, 4.0],  # couplings: 2 x 1
        "calm": [1.0, 1.0, 1.0, 1.0, 1.0],
        "wild": [1.0, 16.0, 144.0, 144.0, 3600.0],  # couplings: 4 x 5, the 1x1: 3
    }
    assert growth_by_kind(PLACES, variances) == {"noise_coupling": pytest.approx(10.0), "1x1": pytest.approx(3.0)}


def test_an_input_that_explodes_leaves_no_number():
    variances = {"in_distribution": [1.0] * 5, "calm": [1.0] * 5, "broken": [1.0, 1e30, math.inf, math.nan, math.nan]}
    assert all(math.isnan(factor) for factor in growth_by_kind(PLACES, variances).values())


def test_growth_beyond_a_float_is_infinite():
    places = [Place(1, 1, "coupling"), Place(1, 1, "actnorm")] * 5
    variances = {"in_distribution": [1.0] * 11, "wild": [*[1e-150, 1e150] * 5, 1e-150]}
    assert growth_by_kind(places, variances) == {"coupling": math.inf, "actnorm": 0.0}


def test_growth_of_each_layer_on_photographs_and_beyond():
    variances = {
        "in_distribution": [1.0, 4.0, 1.0],
        "calm": [1.0, 4.0, 1.0],
        "wild": [1.0, 100.0, 25.0],  # factors of the deviation: 10, 1/2
    }
    (first, first_beyond), (second, second_beyond) = growth_by_layer(["a", "b"], variances)
    assert (first.layer, first.factor) == ("a", pytest.approx(2.0)) and second.factor == pytest.approx(0.5)
    assert (first_beyond.condition, first_beyond.factor) == ("wild", pytest.approx(5.0))
    assert second_beyond.factor == pytest.approx(1.0)


def test_where_features_stop_being_finite_growth_is_at_least_what_float32_allows():
    variances = {"in_distribution": [1.0, 1.0, 1.0], "broken": [1e4, None, None]}
    (_, first), (_, second) = growth_by_layer(["a", "b"], variances)
    assert first.at_least and first.factor == pytest.approx(3.4e36)  # from a deviation of 100
    assert second is None  # nothing is known of a layer that sees values that are not finite


def test_without_photographs_growth_is_taken_as_it_is():
    ((inside, beyond),) = growth_by_layer(["a"], {"wild": [1.0, 9.0]})
    assert inside.factor == 1.0 and beyond.factor == pytest.approx(3.0)
