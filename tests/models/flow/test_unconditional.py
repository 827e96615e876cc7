"""What the networks of paper B need of the flow's layers: affine scales in a range, permutations, no condition."""

import math

import pytest
import torch

from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.permutation import reverse, shuffle
from models.flow.multiscale import multiscale_flow
from models.flow.transforms import Affine, RangedAffine


def drawn(spread=2.0):
    torch.manual_seed(0)
    x, t, raw = torch.randn(3, 1, 2, 4, 4, dtype=torch.float64)
    return x, t, spread * raw


def applied(transform, x, t, raw):
    return transform.forward(x, torch.stack([t, raw], 2).flatten(1, 2))


@pytest.mark.parametrize(
    ("options", "formula"),
    [
        pytest.param({"least": 0.0}, lambda x, t, u: x * torch.sigmoid(u + 2) + t, id="eq. 4"),
        pytest.param({}, lambda x, t, u: x * (0.5 * torch.sigmoid(u + 2) + 0.5) + t, id="modified"),
        pytest.param(
            {"least": 0.1, "most": 1.9, "offset": 0.0},
            lambda x, t, u: x * ((2 * torch.sigmoid(u) - 1) * 0.9 + 1) + t,
            id="naffine",
        ),
        pytest.param(
            {"least": 0.0, "shift_first": True},
            lambda x, t, u: (x + t) * torch.sigmoid(u + 2),
            id="released classifier",
        ),
    ],
)
def test_ranged_affine_is_the_papers_formula(options, formula):
    x, t, raw = drawn()
    torch.testing.assert_close(applied(RangedAffine(**options), x, t, raw)[0], formula(x, t, raw))


def test_shift_first_from_eps_to_one_plus_eps_is_the_affine_transform():
    x, t, raw = drawn()
    ours = applied(RangedAffine(least=0.01, most=1.01, shift_first=True), x, t, raw)
    torch.testing.assert_close(ours, applied(Affine(eps=0.01), x, t, raw))


def test_the_log_of_a_scale_that_underflows_stays_finite():
    x, t, raw = (values.float() for values in drawn())
    y, log_derivative = applied(RangedAffine(least=0.0), x, t, torch.full_like(raw, -1e3))
    torch.testing.assert_close(y, t)
    torch.testing.assert_close(log_derivative, torch.full_like(raw, -998.0))


def test_a_fixed_scale_is_that_number():
    x, t, raw = (values.float() for values in drawn())
    torch.testing.assert_close(applied(RangedAffine(0.1, 0.1), x, t, raw)[0], x * 0.1 + t, rtol=0, atol=0)


@pytest.mark.parametrize(
    "options", [{"least": -0.1}, {"least": 2.0}, {"least": 0.0, "most": 0.0}, {"most": math.inf}, {"offset": math.nan}]
)
def test_impossible_ranges_are_refused(options):
    with pytest.raises(ValueError, match="least"):
        RangedAffine(**options)


def test_permutations_move_channels_and_nothing_else():
    x = torch.randn(2, 6, 3, 3)
    assert torch.equal(reverse(6)(x)[0], x.flip(1))
    layer = shuffle(6)
    assert sorted(layer.order.tolist()) == list(range(6))
    assert torch.equal(layer(x)[0][:, 2], x[:, layer.order[2]])
    loaded = shuffle(6)
    loaded.load_state_dict(layer.state_dict())
    assert torch.equal(loaded(x)[0], layer(x)[0])


def test_without_features_the_multiscale_flow_has_no_injector_and_shares_nothing():
    flow = multiscale_flow(Affine(), 2, 2, 4, 0, splits={1}, transitions=0)
    assert not [module for module in flow.modules() if isinstance(module, Injector)]
    assert not any(module.conditional for module in flow.modules() if isinstance(module, Coupling))
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(flow(x, flow.share(None))[0], flow(x)[0])
