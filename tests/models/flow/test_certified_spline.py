"""The certified spline: its bounds are exact, nothing in them is lost, and no parameters break them."""

import math

import pytest
import torch

from models.flow.transforms import CertifiedSpline, RationalQuadraticSpline
from models.flow.transforms.certified_spline import bin_slopes, box_displacement
from models.flow.transforms.two_bins import slope_range

# Rounding of float32: the slope is a product and quotient of means of positive numbers, so a few units in
# the last place; its logarithm adds one.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 3e-6}
SPLINES = [
    CertifiedSpline(),
    CertifiedSpline(lipschitz=1.2, shift=0.1),
    CertifiedSpline(lipschitz=4.0, shift=0.5),
    CertifiedSpline(bound=3.0, lipschitz=100.0, shift=3.0),
]
EXTREMES = [0.0, 1e-30, 1e-3, 0.1, 1.0, 3.0, 5.0, 8.0, 20.0, 90.0, 1e4, 1e30, math.inf]


def slopes_on_a_grid(end_slopes, ratio):
    """Durkan et al. 2019, eq. 5, written out, on a fine grid of theta."""
    first, last = end_slopes
    theta = torch.linspace(0.0, 1.0, 100_001, dtype=torch.float64)
    q = theta * (1.0 - theta)
    top = ratio**2 * (last * theta**2 + 2.0 * ratio * q + first * (1.0 - theta) ** 2)
    return top / (ratio + (first + last - 2.0 * ratio) * q) ** 2


def test_the_range_of_slopes_in_a_bin_is_exact():
    for spread in (0.05, 0.5, 2.0):
        for first, last, ratio in torch.randn(200, 3, dtype=torch.float64).mul(spread).exp().tolist():
            slopes = slopes_on_a_grid((first, last), ratio)
            least, most = slope_range((first, last), ratio)
            assert least == pytest.approx(float(slopes.min()), rel=1e-7)
            assert most == pytest.approx(float(slopes.max()), rel=1e-7)
            small, large = min(first, last), max(first, last)
            assert least >= min(small, ratio**2 / large) * (1.0 - 1e-12)
            assert most <= max(large, 2.0 * ratio**2 / (ratio + small)) * (1.0 + 1e-12)


@pytest.mark.parametrize("lipschitz", [1.001, 1.2, 2.0, 4.0, 10.0, 100.0, 1e4])
def test_the_rectangle_of_slopes_is_certified_and_wider_than_the_simple_one(lipschitz):
    low, high = bin_slopes(lipschitz)
    assert low < lipschitz**-0.25
    assert high > lipschitz**0.25
    knots = torch.linspace(-0.5, 0.5, 201, dtype=torch.float64).mul(math.log(lipschitz)).exp().tolist()
    ranges = [slope_range((1.0, knot), ratio) for knot in knots for ratio in (low, 1.0, high)]
    least, most = min(r[0] for r in ranges), max(r[1] for r in ranges)
    assert least >= (1.0 - 1e-12) / lipschitz
    assert most <= lipschitz * (1.0 + 1e-12)
    # nothing is given away: the upper bound is attained, the lower one wherever D >= L^-1/2 does not come first
    assert most == pytest.approx(lipschitz, rel=1e-9)
    if low > lipschitz**-0.5 * (1.0 + 1e-9):
        assert least == pytest.approx(1.0 / lipschitz, rel=1e-9)


def attack(spline, dtype, count):
    """Return points and raw parameters, from ordinary to absurd, knots and edges met on purpose."""
    signs = torch.tensor([-1.0, 1.0], dtype=dtype)
    sizes = torch.tensor(EXTREMES, dtype=dtype)
    fixed = sizes[torch.randint(len(sizes), (count, 4, 1, 1))] * signs[torch.randint(2, (count, 4, 1, 1))]
    drawn = torch.randn(count, 4, 1, 1, dtype=dtype) * 10.0 ** torch.randint(-2, 3, (count, 4, 1, 1)).to(dtype)
    raw = torch.where(torch.rand(count, 1, 1, 1) < 0.3, fixed, drawn)
    knot = spline._knot(*raw.unbind(1)[:3])[0].unsqueeze(1)
    inside = (2.0 * torch.rand(count, 1, 1, 1, dtype=dtype) - 1.0) * spline.bound
    near = knot * (1.0 + 4.0 * torch.finfo(dtype).eps * torch.randn(count, 1, 1, 1, dtype=dtype))
    edge = spline.bound * signs[torch.randint(2, (count, 1, 1, 1))]
    outside = torch.randn(count, 1, 1, 1, dtype=dtype) * 10.0 ** torch.randint(0, 5, (count, 1, 1, 1)).to(dtype)
    x = torch.cat([inside, near, edge, outside], 1)[torch.arange(count), torch.randint(4, (count,))]
    return x.unsqueeze(1), raw


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("spline", SPLINES, ids=str)
def test_no_parameters_break_the_bounds(spline, dtype):
    tolerance = TOLERANCE[dtype]
    limit = math.log(spline.lipschitz) + tolerance
    for _ in range(4):
        x, raw = attack(spline, dtype, 250_000)
        rounding = 8.0 * torch.finfo(dtype).eps * (x.abs() + 2.0 * spline.bound + spline.shift)
        for apply in (spline.forward, spline.inverse):
            y, log_slope = apply(x, raw)
            assert bool(log_slope.abs().le(limit).all())  # NaN fails, too
            assert bool(((y - x).abs() <= spline.displacement_bound() + rounding).all())


def test_the_attack_finds_the_published_spline_unbounded():
    spline = RationalQuadraticSpline()
    x, raw = attack(spline, torch.float64, 100_000)
    y, log_slope = spline.forward(x, raw)
    assert log_slope.abs().max() > math.log(1e5)
    assert (y - x).abs().max() > 1e3


@pytest.mark.parametrize("spline", SPLINES, ids=str)
def test_autograd_sees_the_same_slopes(spline):
    x, raw = attack(spline, torch.float64, 50_000)
    x = x.requires_grad_()
    y, log_slope = spline.forward(x, raw)
    (slope,) = torch.autograd.grad(y.sum(), x)
    # at the clamp's own edge autograd may take either side; both have slope 1 there but for rounding of theta
    torch.testing.assert_close(slope.log(), log_slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_stay_finite(dtype):
    spline = CertifiedSpline()
    x, raw = attack(spline, dtype, 100_000)
    raw = raw.clamp(-1e30, 1e30).requires_grad_()
    y, log_slope = spline.forward(x.requires_grad_(), raw)
    gradients = torch.autograd.grad(y.sum() + log_slope.sum(), (x, raw))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("lipschitz", [1.2, 4.0, 100.0])
def test_no_knot_moves_a_value_farther_than_the_worst_corner_does(lipschitz):
    """Knots all over the parallelogram, without its margin: Durkan et al. 2019, eq. 4, written out."""
    low, high = bin_slopes(lipschitz)
    knots = torch.linspace(-1.0, 1.0, 41, dtype=torch.float64)
    along, across, log_slope = torch.meshgrid(knots, knots, knots[::5], indexing="ij")
    p = (1.0 - low) / (high - low)
    width = 0.5 * (1.0 + p * along + (1.0 - p) * across)
    height = 0.5 * (1.0 + p * high * along + (1.0 - p) * low * across)
    inside = (width > 1e-9) & (width < 1.0 - 1e-9)
    width, height, slope = (t[inside][:, None] for t in (width, height, lipschitz ** (0.5 * log_slope)))
    theta = torch.linspace(0.0, 1.0, 401, dtype=torch.float64)
    ratio = height / width
    risen = height * (ratio * theta**2 + theta * (1 - theta))
    moved = risen / (ratio + (1.0 + slope - 2.0 * ratio) * theta * (1 - theta)) - width * theta
    assert 0.997 * box_displacement(lipschitz) <= moved.abs().max() <= box_displacement(lipschitz)


def test_the_displacement_at_4_is_what_an_independent_search_found():
    assert box_displacement(4.0) == pytest.approx(0.400, abs=1.5e-3)


def test_parameters_reach_nearly_all_of_the_rectangle():
    spline = CertifiedSpline(lipschitz=4.0)
    low, high = bin_slopes(4.0)
    far = torch.full((1, 1, 1, 1), 20.0, dtype=torch.float64)
    for w, h, expected in ((far, -far, high), (-far, far, low)):
        knot_x, knot_y, slope = spline._knot(w, h, far)
        assert float((knot_y + 0.5) / (knot_x + 0.5)) == pytest.approx(expected, rel=0.02)
        assert float(slope) == pytest.approx(2.0)


@pytest.mark.parametrize("shift", [0.25, 1.0, 2.0, 100.0, 1e6])
def test_a_shift_is_exact_to_rounding_however_far_it_may_go(shift):
    """As good as free, it must not move in steps: of 1e6 a share of 3e-7 would be 0.3."""
    t = torch.linspace(-1.0, 1.0, 2001)
    exact = shift * torch.tanh(t.double() / shift)
    assert (CertifiedSpline(shift=shift)._shift(t) - exact).abs().max() < 1e-6


def test_zero_parameters_are_the_identity():
    x = torch.linspace(-2.0, 2.0, 101).reshape(1, 1, 1, -1)
    y, log_slope = CertifiedSpline().forward(x, torch.zeros(1, 4, 1, 101))
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(log_slope, torch.zeros_like(x), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"lipschitz": 1.0}, {"lipschitz": math.inf}, {"shift": 0.0}, {"bound": -1.0}, {"shift": math.nan}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        CertifiedSpline(**options)
