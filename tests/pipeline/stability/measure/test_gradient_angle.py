"""The angle of reversible gradients: known vectors, a layer whose inverse is wrong on purpose, a small flow."""

import copy
import math

import pytest
import torch
from bijection_cases import with_random_parameters
from made_up_training import made_up_batches, smoke_experiment
from torch import nn

from models.flow.bijection import Bijection, Chain
from models.flow.layers.coupling import Coupling
from models.flow.transforms import RangedAffine
from pipeline.stability.measure.gradient_angle import angle_between, gradient_angle
from pipeline.training.train import flow_objective


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-9, 1e-4, 0.3, math.pi / 2, 3.0, math.pi])
def test_the_angle_of_vectors_that_were_turned_is_found(angle):
    first = [torch.tensor([3.0], dtype=torch.float64), torch.tensor([[0.0]], dtype=torch.float64)]
    turned = [7.0 * torch.tensor([value], dtype=torch.float64) for value in (math.cos(angle), math.sin(angle))]
    found = angle_between(first, [turned[0], turned[1][None]])
    assert found.radians == pytest.approx(angle, rel=1e-9, abs=1e-15)


def test_a_parameter_without_a_gradient_counts_as_zeros():
    one, two = torch.tensor([1.0]), torch.tensor([1.0])
    assert angle_between([one, None], [one, two]).radians == pytest.approx(math.pi / 4, rel=1e-12)
    assert angle_between([one, None], [one, None]).radians == 0.0


def test_lengths_do_not_matter_to_the_angle_and_do_to_the_difference():
    found = angle_between([torch.tensor([2.0, 0.0])], [torch.tensor([5.0, 0.0])])
    assert found.radians == 0.0 and found.relative_difference == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("true", "other", "reason"),
    [
        (math.nan, 1.0, "the true gradient is not finite"),
        (1.0, math.inf, "the reversible gradient is not finite"),
        (0.0, 1.0, "the true gradient is zero"),
    ],
)
def test_where_there_is_no_direction_there_is_a_reason(true, other, reason):
    assert angle_between([torch.tensor([true])], [torch.tensor([other])]) == (None, None, reason)


class Squared(Bijection):
    """z = x and log_det = w . x^2, whose inverse is off by ``error``: the gradient of w is x^2 as it is recomputed."""

    def __init__(self, error):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 2, 1, 1, dtype=torch.float64))
        self.error = error

    def forward(self, x, condition=None):
        return x * 1.0, (self.weight * x.square()).flatten(1).sum(1)

    def inverse(self, z, condition=None):
        return z + self.error, z.new_zeros(len(z))


@pytest.mark.parametrize("error", [0.0, 0.01, 1.0])
def test_an_inverse_that_is_off_turns_the_gradient_by_what_can_be_computed(error):
    network = Chain([Squared(torch.tensor([error, 0.0], dtype=torch.float64).view(1, 2, 1, 1))])
    x = torch.tensor([1.0, 1.0], dtype=torch.float64).view(1, 2, 1, 1)
    found = gradient_angle(network, lambda: torch.sum(network(x)[1]))
    assert found.radians == pytest.approx(math.atan((1 + error) ** 2) - math.pi / 4, abs=1e-12)
    assert network.saver is None and network.layers[0].weight.grad is None


def test_only_the_parameters_asked_for_count():
    network = Chain([Squared(torch.ones(1, 2, 1, 1).double()), Squared(torch.zeros(1, 2, 1, 1).double())])
    x = torch.tensor([1.0, 3.0], dtype=torch.float64).view(1, 2, 1, 1)

    def angle(parameters):
        return gradient_angle(network, lambda: torch.sum(network(x)[1]), parameters).radians

    assert angle(network.layers[1].parameters()) < 1e-12 < 1e-3 < angle(network.layers[0].parameters())
    assert 1e-3 < angle(None) < angle(network.layers[0].parameters())


def test_an_inverse_that_explodes_is_told_and_no_number():
    torch.manual_seed(0)
    network = Chain([Coupling(2, RangedAffine(1e-30, 1e-30), 0, 4) for _ in range(4)])
    with_random_parameters(network)
    x = torch.randn(2, 2, 4, 4)
    found = gradient_angle(network, lambda: network(x)[0].square().sum() + network(x)[1].sum())
    assert found.radians is None or found.radians > 1e-2
    if found.radians is None:
        assert found.reason == "the reversible gradient is not finite"


def test_of_a_flow_whose_inverse_is_exact_it_is_rounding():
    torch.manual_seed(0)
    objective = flow_objective(smoke_experiment("df2k_x4", {}))
    with torch.no_grad():
        for parameter in objective.network.flow.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    target, seen, *_ = next(made_up_batches(smoke_experiment("df2k_x4", {}))(0, 1))
    angles = {}
    for dtype in (torch.float32, torch.float64):
        network = copy.deepcopy(objective).to(dtype)
        angles[dtype] = gradient_angle(
            network, lambda network=network, dtype=dtype: network(target.to(dtype), seen.to(dtype))
        ).radians
    assert angles[torch.float64] < 1e-6
    assert angles[torch.float64] < angles[torch.float32] < 1e-3
