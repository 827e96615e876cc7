"""What transforms state of themselves is true, and no looser than it must be: extreme parameters attain it."""

import itertools
import math

import pytest
import torch
from bijection_cases import PLAIN_TRANSFORMS

from models.flow.transforms import CertifiedSpline

EXTREMES = (-60.0, -20.0, 0.0, 20.0, 60.0)
SPLINES = [transform for transform in PLAIN_TRANSFORMS.values() if isinstance(transform, CertifiedSpline)]

UNBOUNDED = [transform for transform in PLAIN_TRANSFORMS.values() if math.isinf(transform.displacement_bound())]


@pytest.fixture(params=list(PLAIN_TRANSFORMS))
def transform(request):
    return PLAIN_TRANSFORMS[request.param]


def swept(transform, last=(0.0,)):
    """Return x and raw parameters: every combination of extremes, the last parameter from ``last``, over a fine x."""
    free = itertools.product(*[EXTREMES] * (transform.parameters_per_channel - 1), last)
    raw = torch.tensor(list(free), dtype=torch.float64)[:, :, None, None]
    reach = getattr(transform, "bound", 1.0) + getattr(transform, "shift", 0.0)
    x = torch.linspace(-reach, reach, 4001, dtype=torch.float64)
    return x.expand(len(raw), 1, 1, -1), raw.expand(-1, -1, 1, len(x))


def test_the_slope_reaches_its_bounds_and_does_not_pass_them(transform):
    # the affine scale is the last parameter, and the only one that its slope depends on; a spline's last is t
    last = EXTREMES if transform.parameters_per_channel < 4 else (0.0,)
    slopes = transform.forward(*swept(transform, last))[1].exp()
    least, most = transform.derivative_bounds()
    assert least * (1 - 1e-9) <= slopes.min() <= least / 0.95
    assert most * 0.95 <= slopes.max() <= most * (1 + 1e-9)


@pytest.mark.parametrize("transform", UNBOUNDED, ids=str)
@pytest.mark.parametrize("t", [1e3, 1e6])
def test_where_no_displacement_is_stated_there_is_no_bound_of_it(transform, t):
    for y in both(transform, *far(transform, t)):
        assert y.abs() > 0.5 * t


@pytest.mark.parametrize("t", [1e3, 1e6])
def test_nothing_is_moved_farther_than_is_stated(transform, t):
    for y in both(transform, *far(transform, t)):
        assert y.abs() <= transform.displacement_bound() * (1 + 1e-9)


def far(transform, t):
    """Return x = 0 and raw parameters of 0 but for the translation t."""
    raw = torch.zeros(1, transform.parameters_per_channel, 1, 1, dtype=torch.float64)
    raw[:, 3 if transform.parameters_per_channel == 4 else 0] = t
    return torch.zeros(1, 1, 1, 1, dtype=torch.float64), raw


def both(transform, x, raw):
    return transform.forward(x, raw)[0], transform.inverse(x, raw)[0]


@pytest.mark.parametrize("spline", SPLINES, ids=str)
@pytest.mark.parametrize("t", [-1e3, 1e3])
def test_the_shift_reaches_its_share_of_the_displacement(spline, t):
    small = CertifiedSpline(bound=1e-6, lipschitz=spline.lipschitz, shift=spline.shift)
    for y in both(small, *far(small, t)):
        assert float(y.abs()) == pytest.approx(small.displacement_bound(), rel=1e-4)


@pytest.mark.parametrize("spline", SPLINES, ids=str)
def test_the_box_reaches_its_share_of_the_displacement(spline):
    """All but 1 %: bins keep a margin of 2e-3 of the box to the slopes at which the bound is taken."""
    tight = CertifiedSpline(bound=spline.bound, lipschitz=spline.lipschitz, shift=1e-9)
    x, raw = swept(tight)
    for y in both(tight, x, raw):
        assert 0.99 * tight.displacement_bound() <= (y - x).abs().max() <= tight.displacement_bound()


@pytest.mark.parametrize("spline", SPLINES, ids=str)
def test_box_and_shift_add_up(spline):
    x, raw = swept(spline, last=(-1e3, 1e3))
    box = spline.displacement_bound() - spline.shift
    for y in both(spline, x, raw):
        assert spline.shift + 0.99 * box <= (y - x).abs().max() <= spline.displacement_bound()
