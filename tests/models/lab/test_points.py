"""The flows of points: section 2's example to the digit, and what the papers' sizes say."""

import pytest
import torch
from torch.autograd.functional import jacobian

from models.flow.layers.coupling import Coupling
from models.flow.transforms import Additive, RangedAffine
from models.lab.points import checkerboard_flow, depth_flow, regression_flow
from models.lab.residual import residual_flow_of_points


def depth_error(transform, depth, dtype=torch.float32):
    """Return |x - F^-1(F(x))| at (1, 1)."""
    flow, x = depth_flow(transform, depth), torch.ones(1, 2, 1, 1, dtype=dtype)
    return float((flow.inverse(flow(x)[0])[0] - x).norm())


@pytest.mark.parametrize(
    ("depth", "error"), [(1, 1e-7), (4, 2e-5), (6, 8e-3), (8, 0.2), (10, 65.0), (20, 7e11), (50, float("inf"))]
)
def test_affine_depth_error_is_that_of_figure_1(depth, error):
    """Paper B, Fig. 1, in float32: figures of an independent computation, to their one digit."""
    assert depth_error(RangedAffine(0.1, 0.1), depth) == pytest.approx(error, rel=0.2)


@pytest.mark.parametrize(("depth", "error"), [(8, 7e-10), (16, 9e-2)])
def test_affine_depth_error_in_float64(depth, error):
    assert depth_error(RangedAffine(0.1, 0.1), depth, torch.float64) == pytest.approx(error, rel=0.2)


def test_additive_depth_error_stays_at_rounding():
    assert max(depth_error(Additive(), depth) for depth in range(1, 101)) <= 1.2e-7


@pytest.mark.parametrize("depth", [1, 4, 8])
def test_singular_values_of_figure_1(depth):
    """sigma_min = 0.1^n and cond = 10^n for affine, 1 for additive."""
    x = torch.ones(1, 2, 1, 1, dtype=torch.float64)
    for transform, least in ((RangedAffine(0.1, 0.1), 0.1**depth), (Additive(), 1.0)):
        flow = depth_flow(transform, depth)
        values = torch.linalg.svdvals(jacobian(lambda x, flow=flow: flow(x)[0].flatten(), x).reshape(2, 2))
        torch.testing.assert_close(values, torch.tensor([1.0, least], dtype=torch.float64), rtol=1e-6, atol=0)


def test_100_blocks_of_the_checkerboard_are_200_couplings_of_alternating_coordinates():
    flow = checkerboard_flow(RangedAffine(), width=4)
    assert sum(isinstance(layer, Coupling) for layer in flow.layers) == 200
    # a block of two couplings moves both coordinates, and puts them back in their places
    one = checkerboard_flow(RangedAffine(), blocks=1, width=8).double()
    x = torch.randn(1, 2, 1, 1, dtype=torch.float64)
    square = jacobian(lambda x: one(x)[0].flatten(), x).reshape(2, 2)
    assert (square != 0).all() and (square.diagonal() > 0).all()


def test_nets_have_the_papers_sizes():
    """128-128-128-128: Linear(1, 128), 3 x Linear(128, 128), Linear(128, 2), and a learned swish before each."""
    net = checkerboard_flow(RangedAffine(), blocks=1).layers[0].net
    assert sum(p.numel() for p in net.parameters()) == 2 * 128 + 3 * (128 * 128 + 128) + 2 * 128 + 2 + 5
    net = regression_flow(RangedAffine(), steps=1).layers[2].net
    assert sum(p.numel() for p in net.parameters()) == 2 * 128 + 128 * 128 + 128 + 2 * 128 + 2
    assert len(residual_flow_of_points(hidden=4).layers) == 100


def test_places_name_every_layer_once():
    for flow in (checkerboard_flow(RangedAffine(), 3, 4), regression_flow(RangedAffine(), 3, 4)):
        places = [layer.place for layer in flow.layers]
        assert None not in places and len(set(places)) == len(places)
