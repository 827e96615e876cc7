"""Derivatives of transforms by input and by raw parameters, against autograd on everything the region holds."""

import itertools
import math

import pytest
import torch
from bijection_cases import PLAIN_TRANSFORMS

from models.flow.transforms import Additive, Affine, CertifiedSpline, RangedAffine, RationalQuadraticSpline
from pipeline.stability.measure.lipschitz.regions import Region
from pipeline.stability.measure.lipschitz.transforms import forward_derivatives, inverse_derivatives

SPLINES = (CertifiedSpline, RationalQuadraticSpline)
REGIONS = [  # intervals of the raw parameters, and the radius
    ((-0.3, 0.4), 1.5),
    ((-4.0, 4.0), 3.0),
    ((1.0, 1.5), 0.2),
    ((-6.0, -2.0), 0.45),
    ((0.7, 0.7), 0.5),
]


def derivatives(transform, inverse, x, raw):
    """Return |d/dx| and |d/dh_p| of every value, by autograd."""
    x, raw = x.requires_grad_(), raw.requires_grad_()
    y, _ = (transform.inverse if inverse else transform.forward)(x, raw)
    by_x, by_raw = torch.autograd.grad(y.sum(), (x, raw), materialize_grads=True)
    return by_x.abs(), by_raw.abs()


def swept(transform, grid, radius):
    """Return x and raw parameters: the grid for each but t, both of its ends for t, a fine x."""
    count = transform.parameters_per_channel
    ends = [grid[0], grid[-1]]
    axes = {1: [ends], 2: [ends, grid]}.get(count, [grid, grid, grid, ends])
    raw = torch.tensor(list(itertools.product(*axes)), dtype=torch.float64)
    x = torch.linspace(-radius, radius, 201, dtype=torch.float64)
    return x.expand(len(raw), 1, 1, -1).clone(), raw[:, :, None, None].expand(-1, -1, 1, len(x)).clone()


def reached(transform, inverse, interval, radius, points=9):
    """Return the largest of each derivative that the sweep meets: by x, by raw parameters."""
    grid = torch.linspace(*interval, points, dtype=torch.float64).tolist()
    by_x, by_raw = derivatives(transform, inverse, *swept(transform, grid, radius))
    return float(by_x.max()), by_raw.amax((0, 2, 3)).tolist()


@pytest.fixture(params=[False, True], ids=["forward", "inverse"])
def inverse(request):
    return request.param


@pytest.mark.parametrize("name", PLAIN_TRANSFORMS)
@pytest.mark.parametrize(("interval", "radius"), REGIONS)
def test_no_derivative_in_a_region_exceeds_its_bound(name, inverse, interval, radius):
    transform = PLAIN_TRANSFORMS[name]
    region = Region(radius, (interval,) * transform.parameters_per_channel)
    bound = (inverse_derivatives if inverse else forward_derivatives)(transform, region)
    slope, parameters = reached(transform, inverse, interval, radius)
    assert slope <= bound.slope * (1 + 1e-9)
    for found, limit in zip(parameters, bound.parameters, strict=True):
        assert found <= limit * (1 + 1e-9)


@pytest.mark.parametrize("name", [n for n, t in PLAIN_TRANSFORMS.items() if not isinstance(t, SPLINES)])
@pytest.mark.parametrize(("interval", "radius"), REGIONS)
def test_affine_bounds_are_attained(name, inverse, interval, radius):
    transform = PLAIN_TRANSFORMS[name]
    region = Region(radius, (interval,) * transform.parameters_per_channel)
    bound = (inverse_derivatives if inverse else forward_derivatives)(transform, region)
    slope, parameters = reached(transform, inverse, interval, radius, points=801)
    assert slope == pytest.approx(bound.slope, rel=1e-6)
    assert parameters == pytest.approx(bound.parameters, rel=1e-3)


@pytest.mark.parametrize("spline", [t for t in PLAIN_TRANSFORMS.values() if isinstance(t, SPLINES)], ids=str)
@pytest.mark.parametrize("knot", [(-1.5, 1.0), (0.5, -0.5), (2.0, 1.0), (-2.0, -1.5)])
def test_the_steepest_of_known_knots_is_attained(spline, knot):
    """With slope 1 at the knot as at the edges, 2 D^2 / (D + 1) is the slope in the middle of the steeper bin."""
    raw = torch.tensor([*knot, 0.0, 0.0], dtype=torch.float64)
    bound = forward_derivatives(spline, Region(1.0, tuple((value, value) for value in raw.tolist()))).slope
    x = torch.linspace(-spline.bound, spline.bound, 20001, dtype=torch.float64)
    found = spline.forward(x.view(1, 1, 1, -1), raw.view(1, 4, 1, 1).expand(1, 4, 1, len(x)))[1].exp().max()
    assert bound * (1 - 1e-4) <= found <= bound * (1 + 1e-12)


# of the slope, and of w, h, v, t: what is met at least; the rest is what the proofs give away
SHARES = {
    CertifiedSpline(): (0.9, 0.1, 0.014, 0.04, 0.9),
    CertifiedSpline(lipschitz=1.5, shift=0.2): (0.9, 0.1, 0.08, 0.1, 0.9),
}


@pytest.mark.parametrize("spline", SHARES, ids=str)
def test_a_certified_spline_reaches_a_fair_share_everywhere(spline, inverse):
    bound = (inverse_derivatives if inverse else forward_derivatives)(spline, Region.everywhere(4))
    grid = torch.atanh(torch.linspace(-0.999, 0.999, 11, dtype=torch.float64)).tolist()
    x, raw = swept(spline, grid, spline.bound)
    raw[:, 3] = 0.0  # where t changes fastest
    by_x, by_raw = derivatives(spline, inverse, x, raw)
    found = [float(by_x.max()), *by_raw.amax((0, 2, 3)).tolist()]
    shares = [value / limit for value, limit in zip(found, (bound.slope, *bound.parameters), strict=True)]
    assert all(share <= 1 + 1e-9 for share in shares)
    assert all(share >= least for share, least in zip(shares, SHARES[spline], strict=True)), shares


def test_everywhere_contains_every_region(inverse):
    how = inverse_derivatives if inverse else forward_derivatives
    for transform in PLAIN_TRANSFORMS.values():
        count = transform.parameters_per_channel
        whole = how(transform, Region.everywhere(count))
        for interval, radius in REGIONS:
            part = how(transform, Region(radius, (interval,) * count))
            assert part.slope <= whole.slope * (1 + 1e-12)
            assert all(a <= b * (1 + 1e-12) for a, b in zip(part.parameters, whole.parameters, strict=True))


# c_g, c_g', c_1/g, c_(1/g)' worked out by hand
CONSTANTS = {
    "sigmoid": (RangedAffine(0.0, 1.0, 2.0), (1.0, 0.25, math.inf, math.inf)),
    "half to one": (RangedAffine(0.5, 1.0, 2.0), (1.0, 0.125, 2.0, 0.25)),
    "fixed": (RangedAffine(0.1, 0.1), (0.1, 0.0, 10.0, 0.0)),
    "bounded": (Affine(eps=0.1), (1.1, 0.25, 10.0, (1 / 12) * (11 / 12) / (0.1 + 1 / 12) ** 2)),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_lemma_6_constants(name):
    transform, (g, g1, inverse_g, inverse_g1) = CONSTANTS[name]
    region = Region(1.0, ((0.0, 0.0), (-math.inf, math.inf)))  # |x| <= 1, no shift: the raw scale's column is c_g'
    forward, inverse = forward_derivatives(transform, region), inverse_derivatives(transform, region)
    assert (forward.slope, forward.parameters[1]) == pytest.approx((g, g1))
    assert (inverse.slope, inverse.parameters[1]) == pytest.approx((inverse_g, inverse_g1))


def test_only_a_scale_needs_a_radius(inverse):
    how = inverse_derivatives if inverse else forward_derivatives
    for transform in (Additive(), CertifiedSpline(), RationalQuadraticSpline(), RangedAffine(0.1, 0.1)):
        bound = how(transform, Region.everywhere(transform.parameters_per_channel))
        assert all(map(math.isfinite, (bound.slope, *bound.parameters)))
    for transform in (Affine(eps=0.1), RangedAffine()):
        assert math.isinf(how(transform, Region.everywhere(2)).parameters[1])


def test_a_region_around_values_holds_them_and_grows_with_the_margin():
    x, raw = torch.tensor([[-3.0, 1.0]]).view(1, 2, 1, 1), torch.tensor([[1.0, 10.0, 3.0, 20.0]]).view(1, 4, 1, 1)
    assert Region.around(x, raw, 2) == Region(3.0, ((1.0, 3.0), (10.0, 20.0)))
    assert Region.around(x, raw, 2, margin=2.0) == Region(6.0, ((0.0, 4.0), (5.0, 25.0)))
