"""Ascent in a box: it climbs what can be differentiated and what cannot, and no NaN stops it or leaks to others."""

import pytest
import torch
from small_flow import small_flow

from pipeline.seeds import generator
from pipeline.stability.measure.ascent import Box, ascend

BOX = Box(torch.tensor(-1.0), torch.tensor(1.0))


def climb(objective, start, box=BOX, steps=30, size=0.1, names=None, **options):
    sources = [generator("ascent", name) for name in (names or range(len(start)))]
    return ascend(objective, start, box, steps, size, sources, **options)


def test_a_concave_objective_is_climbed_to_its_top():
    top = torch.tensor([[0.3, -0.7], [-0.2, 0.5]])
    found = climb(lambda x: -(x - top).square().sum(1), torch.zeros(2, 2), steps=50, size=0.05)
    torch.testing.assert_close(found.point, top, atol=0.05, rtol=0)
    assert (found.after > found.before).all() and found.steps.tolist() == [50, 50] and not found.searched.any()


def test_a_linear_objective_is_climbed_to_the_corner_and_not_beyond():
    slope = torch.tensor([[2.0, -3.0, 0.5]])
    found = climb(lambda x: (x * slope).sum(1), torch.zeros(1, 3))
    assert found.point.tolist() == [[1.0, -1.0, 1.0]] and float(found.after) == pytest.approx(5.5)


def test_box_and_size_may_differ_from_value_to_value():
    box = Box(torch.tensor([0.0, -3.0]), torch.tensor([0.5, 3.0]))
    found = climb(lambda x: x.sum(1), torch.zeros(1, 2), box, steps=4, size=torch.tensor([0.1, 0.5]))
    torch.testing.assert_close(found.point, torch.tensor([[0.4, 2.0]]))


def test_the_start_is_brought_into_the_box_and_kept_if_nothing_is_better():
    found = climb(lambda x: x.sum(1), torch.tensor([[7.0]]), Box(torch.tensor(1.0), torch.tensor(2.0)))
    assert found.point.tolist() == [[2.0]] and float(found.before) == float(found.after) == 2.0


def with_nan_gradient(x):
    """x[:, 0] + x[:, 1], but the gradient with respect to x[:, 1] is NaN: 0 * inf behind the square root."""
    return x[:, 0] + x[:, 1].detach() + (0.0 * x[:, 1]).sqrt()


def test_a_gradient_entry_that_is_not_finite_stands_still_and_the_others_move():
    x = torch.zeros(1, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(with_nan_gradient(x).sum(), x)
    assert gradient[0, 0] == 1 and gradient[0, 1].isnan()
    found = climb(with_nan_gradient, torch.zeros(1, 2))
    assert found.point.tolist() == [[1.0, 0.0]] and not found.searched.any()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value, x: value.detach(),  # no gradient at all
        lambda value, x: value.detach() + 0.0 * x.sum(1),  # zero
        lambda value, x: value.detach() + (0.0 * x).sqrt().sum(1),  # NaN
    ],
    ids=["none", "zero", "nan"],
)
def test_without_a_gradient_the_search_climbs(wrap):
    top = torch.linspace(-0.6, 0.6, 8)

    def objective(x):
        return wrap(-(x - top).square().sum(1), x)

    found = climb(objective, torch.zeros(2, 8), steps=60, size=0.05, directions=16)
    assert (found.after > 0.3 * found.before).all() and (found.searched == found.steps).all()  # both are negative


def test_the_search_is_for_those_alone_that_need_it():
    def objective(x):
        return torch.where(torch.tensor([True, False]), x.sum(1), x.detach().sum(1))

    found = climb(objective, torch.zeros(2, 4), steps=10, size=0.05)
    assert found.searched.tolist() == [0, 10]
    assert (found.after > 0.2).all()


def test_a_value_that_is_not_finite_ends_its_problem_and_leaves_the_others_alone():
    def objective(x):
        return torch.where(x[:, 0] > torch.tensor([0.35, 9.0, -9.0]), torch.nan, 1.0) * x[:, 0]

    found = climb(objective, torch.zeros(3, 1), steps=10)
    assert found.after.isnan().tolist() == [True, False, True] and found.before.isnan().tolist() == [False, False, True]
    assert found.steps.tolist() == [4, 10, 0] and float(found.point[0]) == pytest.approx(0.4)
    assert float(found.after[1]) == pytest.approx(1.0)


def test_the_search_takes_a_direction_in_which_the_objective_breaks():
    """A plateau with one hole, beside the start: a corner of the cube of signs."""

    def objective(x):
        hole = ((x - torch.tensor([0.1, -0.1])).abs() < 0.01).all(1)
        return torch.where(hole, torch.inf, 0.0)

    found = climb(objective, torch.zeros(1, 2), steps=1, directions=16)
    assert found.after.isinf().all() and found.searched.tolist() == [1]
    torch.testing.assert_close(found.point, torch.tensor([[0.1, -0.1]]))


def test_each_problem_goes_the_same_way_alone_as_in_a_batch():
    weights = torch.tensor([1.0, 0.0, 2.0])  # of the second, the gradient is zero: it searches

    def of(rows):
        return lambda x: (weights[rows, None] * x.sin()).sum(1) + (x.detach() - 0.4).abs().sum(1)

    start = torch.linspace(-0.5, 0.5, 12).view(3, 4)
    together = climb(of([0, 1, 2]), start, steps=12)
    for row in range(3):
        alone = climb(of([row]), start[row : row + 1], steps=12, names=[row])
        assert all(torch.equal(one[0], every[row]) for one, every in zip(alone, together, strict=True))


def test_a_problem_without_a_generator_is_refused():
    with pytest.raises(ValueError, match="2 problems need a generator each, got 1"):
        ascend(lambda x: x.sum(1), torch.zeros(2, 1), BOX, 1, 0.1, [generator("one")])


def test_a_latent_within_3_sigma_is_found_that_no_draw_comes_near():
    """The same core with another box and another objective: how large a flow's picture gets."""
    network = small_flow().network
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    condition = network.share(torch.rand(1, 3, 4, 4, generator=generator("seen")))
    shape = network.latent_shape(4, 4)

    def size(z):
        return network.inverse(z, condition)[0].flatten(1).norm(dim=1)

    start = torch.randn(2, *shape, generator=generator("latent"))
    found = climb(size, start, Box(torch.tensor(-3.0), torch.tensor(3.0)), steps=15, size=0.5)
    draws = 6.0 * torch.rand(300, *shape, generator=generator("draws")) - 3.0
    assert found.point.abs().max() <= 3.0 and (found.after > 1.2 * size(draws).max()).all()
