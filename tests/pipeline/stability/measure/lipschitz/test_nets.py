"""Lipschitz constants of nets: norms of whole operators, decomposed, are what they must not fall below."""

import functools

import pytest
import torch
from bijection_cases import with_random_parameters
from torch import nn
from torch.autograd.functional import jacobian
from torch.nn import functional as F

from models.flow.layers.conditional_net import ConditionalNet
from models.lab.classifier import PlainNet
from models.lab.lipschitz import LipSwish
from models.lab.points import Constant, PointNet
from models.lab.toy import Mlp
from pipeline.stability.measure.lipschitz import nets
from pipeline.stability.measure.lipschitz.nets import conv_norm, net_constants
from pipeline.studies import lab_bounds  # noqa: F401  registers the lab's nets


def operator(weight, size):
    basis = torch.eye(weight.shape[1] * size[0] * size[1], dtype=torch.float64).view(-1, weight.shape[1], *size)
    return F.conv2d(basis, weight, padding=weight.shape[2] // 2).flatten(1)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 4), (8, 10)])
@pytest.mark.parametrize("whole", [0, 256])
def test_no_convolution_exceeds_its_norm(kernel, size, whole, monkeypatch):
    monkeypatch.setattr(nets, "_WHOLE", whole)  # 0: by frequencies, also where they are far off
    weight = torch.randn(3, 2, kernel, kernel, dtype=torch.float64)
    exact = float(torch.linalg.matrix_norm(operator(weight, size), 2))
    assert exact * (1 - 1e-12) <= conv_norm(weight, size)
    if whole or kernel == 1:
        assert conv_norm(weight, size) == pytest.approx(exact)


def test_on_pictures_larger_than_the_kernel_nothing_much_is_given_away():
    weight = torch.randn(4, 4, 3, 3, dtype=torch.float64)
    x = torch.randn(1, 4, 40, 40, dtype=torch.float64)
    for _ in range(300):  # power iteration: from below
        x = F.conv_transpose2d(F.conv2d(x / x.norm(), weight, padding=1), weight, padding=1)
    below = float(x.norm().sqrt())
    assert below <= conv_norm(weight, (40, 40)) <= 1.02 * below


def test_channels_more_in_than_out_and_the_other_way_round():
    for shape in ((2, 7, 3, 3), (7, 2, 3, 3)):
        weight = torch.randn(shape, dtype=torch.float64)
        exact = float(torch.linalg.matrix_norm(operator(weight, (7, 8)), 2))
        assert exact <= conv_norm(weight, (7, 8)) <= 1.5 * exact


POINT = (1, 1)
NETS = {
    "conditional": (lambda: ConditionalNet(2, 3, 5, 8), (4, 3)),
    "unconditional": (lambda: ConditionalNet(2, 0, 5, 8), (4, 3)),
    "plain": (lambda: PlainNet(2, 0, 5, 8), (4, 3)),
    "points": (lambda: PointNet(2, 0, 6, 8, layers=2, activation=nn.ReLU), POINT),
    "points, swish first": (
        lambda: PointNet(2, 0, 6, 8, layers=3, activation=LipSwish, activation_first=True),
        POINT,
    ),
    "toy": (lambda: Mlp(2, 3, 6, 8), POINT),
    "toy, normalized": (functools.partial(Mlp, 2, 3, 6, 8, normalized=True), POINT),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("parameters", [1, 2, 4])
def test_no_net_exceeds_its_constants(name, parameters):
    make, size = NETS[name]
    net = make()
    with_random_parameters(net, 0.5)
    net = net.double()
    constants = net_constants(net, parameters, size)
    conditional = name in ("conditional", "toy", "toy, normalized")
    features = torch.randn(1, 3, *size, dtype=torch.float64)
    shared = net.share(features) if conditional else None
    reached = 0.0
    for _ in range(5):
        x = 2.0 * torch.randn(1, 2, *size, dtype=torch.float64)
        whole = jacobian(lambda x: net(x, shared), x).view(8, size[0] * size[1], -1)
        for index, constant in enumerate(constants.each):
            part = float(torch.linalg.matrix_norm(whole[index::parameters].flatten(0, 1), 2))
            assert part <= constant * (1 + 1e-9)
            reached = max(reached, part / constant)
        assert float(torch.linalg.matrix_norm(whole.flatten(0, 1), 2)) <= constants.together * (1 + 1e-9)
    assert reached > 0.02  # products are loose; a constant that is far too large would show


def test_a_net_of_the_condition_alone_does_not_change_with_x():
    assert net_constants(ConditionalNet(0, 3, 5, 8), 2, (4, 4)) == ((0.0, 0.0), 0.0)
    assert net_constants(Constant([1.0, 2.0]), 2, POINT) == ((0.0, 0.0), 0.0)


def test_a_net_that_no_rule_knows_has_no_constant():
    assert net_constants(nn.Linear(2, 2), 2, POINT) == ((float("inf"),) * 2, float("inf"))
