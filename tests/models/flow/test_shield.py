"""The shield beyond the contract: the transform itself inside, slope 1 outside, no farther than it says."""

import math

import pytest
import torch
from bijection_cases import PLAIN_TRANSFORMS, shield
from hypothesis import given, settings
from hypothesis import strategies as st

LOW, HIGH = -0.7, 0.9  # of values, up to the pixels that the case was fitted to


@pytest.fixture(params=list(PLAIN_TRANSFORMS))
def inner(request):
    return PLAIN_TRANSFORMS[request.param]


def raw_of(inner, count, spread, seed=0):
    source = torch.Generator().manual_seed(seed)
    return spread * torch.randn(1, inner.parameters_per_channel, 1, count, generator=source, dtype=torch.float64)


def box(around):
    return float(around.values.low), float(around.values.high)


def test_inside_of_all_ranges_it_is_the_transform_itself(inner):
    around = shield(inner).double()
    low, high = box(around)
    x = torch.linspace(low, high, 200, dtype=torch.float64).view(1, 1, 1, -1)
    h = around.raw.centre.view(1, -1, 1, 1) + raw_of(inner, 200, 0.05)
    for found, expected in zip(around.forward(x, h), inner.forward(x, h), strict=True):
        torch.testing.assert_close(found, expected)
    y = inner.forward(x, h)[0]
    for found, expected in zip(around.inverse(y, h), inner.inverse(y, h), strict=True):
        torch.testing.assert_close(found, expected)


def test_outside_values_are_moved_as_far_as_the_end_of_the_box(inner):
    around = shield(inner).double()
    low, high = box(around)
    h = raw_of(inner, 1, 5.0)
    for end, way in ((low, -1.0), (high, 1.0)):
        at = torch.full((1, 1, 1, 1), end, dtype=torch.float64)
        moved = around.forward(at, h)[0] - at
        for beyond in (1e-3, 1.0, 1e6):
            y, log_derivative = around.forward(at + way * beyond, h)
            torch.testing.assert_close(y - (at + way * beyond), moved, atol=1e-9, rtol=1e-9)
            assert float(log_derivative) == 0.0


def test_it_does_not_jump_where_the_box_ends(inner):
    around = shield(inner).double()
    h = raw_of(inner, 1, 2.0)
    for end in box(around):
        near = torch.tensor([end - 1e-9, end + 1e-9], dtype=torch.float64).view(1, 1, 1, 2)
        assert around.forward(near, h)[0].diff().abs() < 1e-7


@given(
    name=st.sampled_from(sorted(PLAIN_TRANSFORMS)),
    spread=st.sampled_from([0.1, 2.0, 1e3]),
    reach=st.sampled_from([0.5, 3.0, 1e4]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=120, deadline=None)
def test_no_value_is_moved_out_of_the_interval_that_is_stated(name, spread, reach, seed):
    inner = PLAIN_TRANSFORMS[name]
    around = shield(inner).double()
    least, largest = (float(end) for end in around.displacements())
    h = raw_of(inner, 500, spread, seed)
    x = reach * torch.randn(1, 1, 1, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    slack = 1e-9 * (1 + reach)
    moved = around.forward(x, h)[0] - x
    assert moved.min() >= least - slack and moved.max() <= largest + slack
    back = around.inverse(x, h)[0] - x
    assert back.min() >= -largest - slack and back.max() <= -least + slack
    assert around.displacement_bound() == max(-least, largest)


def test_the_interval_is_no_wider_than_it_must_be(inner):
    """With a wide ellipsoid the corners of the box are reached; a spline does not go as far as its knot allows."""
    around = shield(inner).double()
    around.raw.radius.fill_(1e3)
    corners = torch.cartesian_prod(*torch.stack(around.raw.limits()).T).view(-1, inner.parameters_per_channel)
    x = torch.linspace(*box(around), 400, dtype=torch.float64)
    h = (1e3 * (corners - around.raw.centre) + around.raw.centre).T[None, :, :, None]  # what the clamp makes corners
    x, h = x.expand(1, 1, h.shape[2], -1), h.expand(-1, -1, -1, 400)
    moved = around.forward(x, h)[0] - x
    least, largest = (float(end) for end in around.displacements())
    share = 0.99 if inner.parameters_per_channel < 4 else 0.3
    assert moved.max() >= largest - (1 - share) * (largest - least)
    assert moved.min() <= least + (1 - share) * (largest - least)


def test_slopes_are_those_of_the_transform_or_1(inner):
    around = shield(inner).double()
    least, most = around.derivative_bounds()
    x = torch.linspace(-2.0, 2.0, 500, dtype=torch.float64).view(1, 1, 1, -1)
    slopes = around.forward(x, raw_of(inner, 500, 20.0))[1].exp()
    assert least <= 1.0 <= most and slopes.min() >= least * (1 - 1e-9) and slopes.max() <= most * (1 + 1e-9)
    assert math.isfinite(around.displacement_bound())
