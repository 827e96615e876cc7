"""Ranges: what they leave alone, what they hold back, and what they remember of photographs."""

import pytest
import torch

from models.flow.ranges import JointRange, Range


def pixels(entries, count=4000, seed=0):
    return torch.randn(entries, count, generator=torch.Generator().manual_seed(seed))


def as_picture(flat):
    """(D, n) to (1, D, 1, n)."""
    return flat[None, :, None]


def correlated(count=4000):
    """Two entries that go together: the second is the first, but for a tenth."""
    first, second = pixels(2, count)
    return torch.stack([first, first + 0.1 * second])


@pytest.mark.parametrize("quantile", [0.0, 0.01, 0.25])
def test_a_quantile_of_the_pixels_lies_beyond_each_end(quantile):
    seen, one = pixels(3), Range(3, margin=0.05)
    one.fit(seen, quantile)
    expected = torch.quantile(seen, torch.tensor([quantile, 1 - quantile]), dim=1, interpolation="nearest")
    torch.testing.assert_close(torch.stack([one.low, one.high]), expected)


def test_a_clamp_changes_nothing_inside_and_passes_no_limit_outside():
    one = Range(1, margin=0.1)
    one.fit(torch.linspace(-1.0, 3.0, 101)[None], 0.0)
    inside, outside = torch.linspace(-1.0, 3.0, 999), torch.tensor([-torch.inf, -1e9, -1.5, 3.5, 1e9, torch.inf])
    assert torch.equal(one.clamp(inside[None, None]), inside[None, None])
    low, high = one.limits()
    torch.testing.assert_close(torch.cat([low, high]), torch.tensor([-1.4, 3.4]))
    clamped = one.clamp(outside[None, None])
    assert (clamped >= low).all() and (clamped <= high).all()


def test_a_clamp_is_increasing_and_its_slope_is_continuous():
    one = Range(1, margin=0.5).double()
    one.fit(torch.tensor([[0.0, 1.0]], dtype=torch.float64), 0.0)
    x = torch.linspace(-1.0, 2.0, 3001, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(one.clamp(x[None, None]).sum(), x)[0]
    assert (slope > 0).all() and (slope <= 1).all()
    assert slope.diff().abs().max() < 0.01  # tanh' falls by 4 / (3 sqrt(3)) m^-1 per unit at most, a step is 1e-3


def test_photographs_are_left_alone():
    one, seen = JointRange(2, margin=0.05), correlated()
    one.fit(seen, 0.0)
    torch.testing.assert_close(one(as_picture(seen)), as_picture(seen), atol=1e-6, rtol=1e-6)


def test_a_corner_of_the_box_that_no_photograph_fills_is_drawn_in():
    """Each entry alone is within its range; that one is high while the other is low was never seen."""
    one, seen = JointRange(2, margin=0.05), correlated()
    one.fit(seen, 0.0)
    corner = torch.tensor([2.0, -2.0]).view(1, 2, 1, 1)
    assert (corner.flatten() > one.low).all() and (corner.flatten() < one.high).all()
    found = one(corner).flatten()
    farthest = (seen[0] - seen[1]).abs().max()
    assert (found[0] - found[1]).abs() < 1.3 * farthest < (corner[0, 0] - corner[0, 1]).abs()
    along = torch.tensor([2.0, 2.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(one(along), along)


@pytest.mark.parametrize("quantile", [0.0, 0.02])
def test_the_limits_of_the_box_hold_for_the_ellipsoid_too(quantile):
    one = JointRange(6, margin=0.2)
    one.fit(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)) @ pixels(6), quantile)
    low, high = (end[:, None] for end in one.limits())
    for size in (1.0, 30.0, 1e6):
        found = one(as_picture(size * pixels(6, seed=2)))[0, :, 0]
        assert (found >= low - 1e-5).all() and (found <= high + 1e-5).all()


@pytest.mark.parametrize("quantile", [0.0, 0.05])
def test_room_moves_the_ends_of_the_box_and_not_the_ellipsoid(quantile):
    one, other, seen = JointRange(2, margin=0.05), JointRange(2, margin=0.05), correlated()
    one.fit(seen, quantile)
    other.fit(seen, quantile, room=0.25)
    further = 0.25 * (one.high - one.low)
    torch.testing.assert_close(other.low, one.low - further)
    torch.testing.assert_close(other.high, one.high + further)
    torch.testing.assert_close(other.radius, one.radius)


def test_neighbouring_groups_are_clamped_each_for_itself():
    one = JointRange(2, margin=0.05)
    one.fit(correlated(), 0.0)
    both = 5 * torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(one(both), torch.cat([one(both[:, :2]), one(both[:, 2:])], 1))


def test_an_entry_that_never_varies_and_very_few_pixels_give_finite_ranges():
    for seen in (torch.zeros(3, 100), pixels(5, count=2), pixels(5, count=1)):
        one = JointRange(len(seen), margin=0.05)
        one.fit(seen, 0.0)
        wild = as_picture(1e6 * pixels(len(seen), count=50))
        assert one(wild).isfinite().all()
        low, high = one.limits()
        assert (one(wild) >= low[:, None, None]).all() and (one(wild) <= high[:, None, None]).all()


def test_gradients_are_finite_at_the_centre_at_the_ends_and_far_outside():
    one = JointRange(2, margin=0.05)
    one.fit(correlated(), 0.01)
    places = [one.centre, one.low, one.high, torch.tensor([1e6, -1e6])]
    values = torch.stack(places, 1)[None, :, None].requires_grad_()
    one(values).square().sum().backward()
    assert values.grad.isfinite().all()


def test_all_but_a_share_of_the_photographs_lie_in_the_ellipsoid():
    one, seen = JointRange(3, margin=0.05), pixels(3)
    one.fit(seen, 0.0, beyond=0.1)
    moved = (one(as_picture(seen)) - as_picture(seen)).abs().amax((0, 1, 2)) > 1e-5
    assert float(moved.float().mean()) == pytest.approx(0.1, abs=0.005)
    farthest = seen.norm(dim=0)  # covariance near the identity: who is moved is far from the centre
    assert farthest[moved].min() > 0.95 * farthest[~moved].max()


def test_an_ellipsoid_can_reach_farther_than_what_was_seen():
    seen = pixels(2)
    one, wider = (JointRange(2, margin=0.05) for _ in range(2))
    one.fit(seen, 0.0)
    wider.fit(seen, 0.0, reach=1.5)
    share = torch.rand(2, 5000, generator=torch.Generator().manual_seed(2))
    inside = one.low[:, None] + (one.high - one.low)[:, None] * share  # of the box, which is the same
    norms = (one.whitening @ (inside - one.centre[:, None])).norm(dim=0) / one.radius
    between = as_picture(inside[:, (norms > 1.05) & (norms < 1.45)])
    assert between.shape[-1] > 20
    assert ((one(between) - between).abs().amax(1) > 1e-3).all()
    torch.testing.assert_close(wider(between), between, atol=1e-6, rtol=1e-6)


def test_only_what_stands_where_a_picture_is_bad_is_forgotten():
    one = Range(1, margin=0.05)
    one.record(per_batch=500)
    values = torch.arange(6.0).view(1, 1, 2, 3).expand(1, 50, 2, 3)
    one.see(100 + values)
    one.see(values)
    bad = torch.zeros(1, 1, 8, 12, dtype=torch.bool)  # blocks of 4 x 4 pixels
    bad[0, 0, 5, 3] = bad[0, 0, 0, 4] = True
    one.forget(bad)
    assert set(one.stop().flatten().tolist()) == {100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 0.0, 2.0, 4.0, 5.0}


def test_what_is_not_finite_is_forgotten_beside_a_good_picture_too_but_not_what_came_before():
    one = Range(2, margin=0.05)
    one.record(per_batch=500)
    values = torch.arange(4.0).view(1, 2, 1, 2).repeat(1, 50, 1, 1)
    values[:, 1, :, 0] = torch.inf  # the first of 50 groups, in one place
    one.see(torch.full((1, 2, 1, 2), torch.inf))
    one.see(values)
    one.forget(torch.zeros(1, 1, 2, 4, dtype=torch.bool))
    seen = one.stop()
    assert seen[:, :2].isinf().all() and seen[:, 2:].isfinite().all() and seen.shape[1] > 50


def test_what_is_remembered_are_pixels_as_many_as_asked_for():
    one = Range(2, margin=0.05)
    one.record(per_batch=5)
    values = torch.arange(24.0).view(2, 2, 2, 3)
    one.see(values)
    one.see(values[:1, :, :1, :2])
    seen = one.stop()
    assert seen.shape == (2, 5 + 2)
    assert torch.equal(seen[1] - seen[0], torch.full((7,), 6.0))  # a pixel's second channel is 6 more than its first
    assert seen.max() < 24 and not one.recording


def test_while_recording_nothing_is_clamped():
    one, wild = JointRange(2, margin=0.05), 1e3 * torch.randn(1, 2, 3, 3)
    one.fit(correlated(), 0.0)
    one.record(9)
    assert torch.equal(one(wild), wild)
    one.stop()
    assert not torch.equal(one(wild), wild)
