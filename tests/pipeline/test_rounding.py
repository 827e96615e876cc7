"""What is proven stays true when it is told in few digits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rounding import rounded_down, rounded_up


@pytest.mark.parametrize(
    ("value", "down"), [(17.89, "17"), (123.4, "120"), (2.3, "2.3"), (0.507, "0.5"), (0.29, "0.29")]
)
def test_down_to_two_digits(value, down):
    assert rounded_down(value, 2) == down


@pytest.mark.parametrize(("value", "up"), [(1.2301, "1.24"), (1.23, "1.23"), (999.1, "1000"), (0.0, "0")])
def test_up_to_three_digits(value, up):
    assert rounded_up(value, 3) == up


@given(value=st.floats(1e-300, 1e300), digits=st.integers(1, 6))
def test_they_enclose_the_value_closely(value, digits):
    low, high = float(rounded_down(value, digits)), float(rounded_up(value, digits))
    assert low <= value <= high
    assert math.isclose(low, high, rel_tol=10.0 ** (1 - digits) + 1e-12)
