"""Trainings that break down go back to their last good state, on a toy that is broken at a known step."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from made_up_training import smoke_experiment
from torch import nn

from models.flow.layers.actnorm import ActNorm
from pipeline.config import RecoveryConfig
from pipeline.errors import DivergenceError, Interrupted
from pipeline.objective import Objective
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.loop import Hooks, Plan, fit
from pipeline.training.optimizers import adam, clip_spikes
from pipeline.training.recovery import COLLAPSE, ended_collapsed
from pipeline.training.schedule import learning_rate_at
from pipeline.training.train import flow_plan

CPU = torch.device("cpu")
RECOVERY = RecoveryConfig(nonfinite_steps=3, validations=2, rate=0.5, limit=2)
PLAN = Plan(
    *("toy", 24, 0.05),
    milestones=(0.9,),
    ema_decay=0.5,
    nonfinite_limit=20,
    validation_every=4,
    log_every=1,
    recovery=RECOVERY,
)
TARGET = torch.tensor([[0.0, 2.0], [2.0, 0.0]])


class Toy(Objective):
    """Fit a 1x1 convolution behind an ActNorm to a fixed map; at the rate and in the steps of ``breaks`` it breaks.

    "nan": the loss is not finite. "far": one step throws the weights far away, where tanh passes no gradient back.
    """

    def __init__(self, breaks):
        super().__init__(nn.Sequential())
        torch.manual_seed(0)
        self.network.norm = ActNorm(2)
        self.network.conv = nn.Conv2d(2, 2, 1)
        self.breaks = breaks

    def forward(self, x, y):
        how = self.breaks(self.step)
        if how == "far":
            with torch.no_grad():
                self.network.conv.weight.fill_(300.0)
        found = 3.0 * (self.network.conv(self.network.norm(x)[0]) / 3.0).tanh()
        return (found - y).square().mean() * (math.nan if how == "nan" else 1.0)


def batches(start, stop):
    for step in range(start, stop):
        x = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(step))
        yield x, torch.einsum("ij,bjhw->bihw", TARGET, x).clamp(-2.5, 2.5)


def once(how, steps):
    """Break in each of ``steps`` when they are first reached."""
    left = set(steps)

    def breaks(step):
        found = how if step in left else ""
        left.discard(step)
        return found

    return breaks


@torch.no_grad()
def validate(network):
    (batch,) = batches(1000, 1001)
    objective = Toy(lambda step: "")
    objective.network = network
    nll = 6.0 * float(objective(*batch))
    return {"validation_nll": nll, "validation_bits_per_dim": nll / 3.0}


def run(folder, breaks=lambda step: "", stop_at=None, **changes):
    plan = Plan(**{**PLAN.__dict__, **changes})
    logged, taken = [], iter(range(1000))
    hooks = Hooks(
        log=lambda step, row: logged.append((step, row)),
        validate=validate,
        should_stop=lambda: stop_at is not None and next(taken) + 1 == stop_at,
    )
    return fit(Toy(breaks), plan, batches, CheckpointStore(folder), CPU, hooks), logged


def rates(outcome):
    return {row["step"]: row["learning_rate"] for row in outcome.history}


def planned(step):
    return learning_rate_at(step - 1, PLAN.steps, PLAN.learning_rate, PLAN.milestones)


def test_after_non_finite_steps_in_a_row_it_goes_back_and_on_at_a_smaller_rate(tmp_path, capsys):
    outcome, logged = run(tmp_path, once("nan", {9, 10, 11}))
    (back,) = outcome.returns
    assert (back["step"], back["to"]) == (12, 8) and "3 steps in a row" in back["why"]
    assert [row["step"] for row in outcome.history] == list(range(1, 25))
    for step, rate in rates(outcome).items():
        assert rate == pytest.approx(planned(step) * (0.5 if step > 8 else 1.0))
    assert outcome.skipped_steps == 0
    assert (8, {"returns": 1.0}) in logged
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "back from" in line]
    assert "back from step 12 to 8, learning rate times 0.5" in said


def test_a_flow_is_trained_by_what_its_profile_says_of_it():
    recovery = {"nonfinite_steps": 2, "validations": 3, "rate": 0.25, "limit": 4}
    changes = {"settings.training.recovery": recovery, "settings.training.clip_spikes": 1.5}
    plan = flow_plan(smoke_experiment("lol", changes))
    assert (plan.recovery, plan.clip_spikes) == (RecoveryConfig(**recovery), 1.5)
    assert plan.recovery.rate == 0.25


def test_fewer_steps_are_skipped_as_without_recovery(tmp_path):
    outcome, _ = run(tmp_path, once("nan", {9, 10, 13}))
    assert (outcome.returns, outcome.skipped_steps) == ([], 3)


def test_a_likelihood_that_falls_and_stays_down_brings_it_back(tmp_path):
    collapsed, _ = run(tmp_path / "without", once("far", {9}), recovery=None)
    recovered, _ = run(tmp_path / "with", once("far", {9}))
    (back,) = recovered.returns
    assert (back["step"], back["to"]) == (16, 8) and "stayed down" in back["why"]
    nlls = [[row["validation_nll"] for row in outcome.validation] for outcome in (collapsed, recovered)]
    assert nlls[0][-1] - nlls[0][1] > 3 * COLLAPSE  # it is gone for good
    assert nlls[1][-1] < nlls[1][1]
    assert [ended_collapsed(each) for each in nlls] == [True, False]
    assert [row["step"] for row in recovered.validation] == [4, 8, 12, 16, 20, 24]


def test_at_the_end_one_bad_validation_is_enough(tmp_path):
    outcome, _ = run(tmp_path, once("far", {22}))
    assert [(back["step"], back["to"]) for back in outcome.returns] == [(24, 20)]
    assert not ended_collapsed([row["validation_nll"] for row in outcome.validation])


def test_a_state_whose_last_weights_are_gone_is_not_kept(tmp_path):
    """Their average is still well when it is validated; going back to it would end in the same place."""
    outcome, _ = run(tmp_path, once("far", {11}), ema_decay=0.999)
    assert [back["to"] for back in outcome.returns] == [8]


def test_it_goes_back_no_more_often_than_it_may(tmp_path):
    breaks = lambda step: "nan" if step >= 9 else ""  # noqa: E731  whatever the rate
    with pytest.raises(DivergenceError, match="21 steps had a non-finite loss"):
        run(tmp_path, breaks, steps=60)
    with pytest.raises(DivergenceError, match="3 steps had"):
        run(tmp_path / "limit", breaks, nonfinite_limit=2)


def test_too_many_steps_that_are_not_finite_bring_it_back_in_a_row_or_not(tmp_path):
    outcome, _ = run(tmp_path, once("nan", {5, 6, 9}), nonfinite_limit=2)
    assert [(back["step"], back["to"]) for back in outcome.returns] == [(10, 8)]


def test_a_collapse_that_nothing_mends_is_not_hidden(tmp_path):
    outcome, _ = run(tmp_path, lambda step: "far" if step == 9 else "")
    assert len(outcome.returns) == RECOVERY.limit
    assert ended_collapsed([row["validation_nll"] for row in outcome.validation])


@pytest.mark.parametrize("stop_at", [3, 10, 12, 14, 20])
def test_a_recovered_training_that_was_killed_equals_the_undisturbed_one(tmp_path, stop_at):
    """Killed before it breaks, while it does, right after it went back, and later."""

    def breaks():
        # what breaks depends on the step and on the rate alone, as in a real training
        return lambda step: "nan" if step in {9, 10, 11} and state["rate"] > 0.04 else ""

    state = {"rate": 0.05}

    class Watching(Toy):
        def forward(self, x, y):
            state["rate"] = optimizer_rate()
            return super().forward(x, y)

    seen = []

    def optimizer(parameters, rate, betas):
        made = torch.optim.Adam(parameters, lr=rate, betas=betas)
        seen.append(made)
        return made

    def optimizer_rate():
        return seen[-1].param_groups[0]["lr"]

    def go(folder, stop=None):
        taken = iter(range(1000))
        hooks = Hooks(validate=validate, should_stop=lambda: stop is not None and next(taken) + 1 == stop)
        plan = Plan(**{**PLAN.__dict__, "optimizer": optimizer})
        return fit(Watching(breaks()), plan, batches, CheckpointStore(folder), CPU, hooks)

    whole = go(tmp_path / "whole")
    assert len(whole.returns) == 1
    with pytest.raises(Interrupted):
        go(tmp_path / "parts", stop_at)
    resumed = go(tmp_path / "parts")
    assert resumed.returns == whole.returns
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    assert resumed.validation == whole.validation


def test_without_trouble_it_changes_nothing(tmp_path):
    outcomes = [run(tmp_path / str(recovery), recovery=recovery)[0] for recovery in (RECOVERY, None)]
    for name, tensor in outcomes[0].network.state_dict().items():
        assert torch.equal(tensor, outcomes[1].network.state_dict()[name])


@pytest.mark.parametrize(
    ("held_out", "expected"),
    [
        ([-15.75, -6.6], True),
        ([-10.9, -9.7], True),
        ([-15.75, -15.1], False),
        ([-15.75, math.nan], True),
        ([-15.75, math.inf], True),
        ([math.nan, -3.0], False),
        ([-3.0], False),
        ([math.nan], True),
    ],
)
def test_a_model_has_collapsed_if_it_ends_far_below_its_best(held_out, expected):
    """Trainings of 7,000 steps: the first fell from 5.25 to 2.2 bits per dimension; the second by 0.4, which took it
    1,700 steps to make up for, and it ended 1.3 behind others.
    """
    assert ended_collapsed(held_out) == expected


def trained(limit, spike, seed=0):
    """Return the largest move of a parameter, in learning rates, at a gradient ``spike`` times as long as usual."""
    torch.manual_seed(seed)
    parameter = nn.Parameter(torch.zeros(50))
    optimizer = torch.optim.Adam([parameter], lr=1e-3)
    for step in range(400):
        parameter.grad = torch.randn(50) * (spike if step == 399 else 1.0)
        before = parameter.detach().clone()
        if limit:
            clip_spikes(optimizer, limit)
        optimizer.step()
    return float((parameter.detach() - before).abs().max() / 1e-3)


def test_a_gradient_spike_moves_a_parameter_no_further_than_a_usual_gradient_does():
    """Adam lets it: (1 - 0.9) / sqrt(1 - 0.999) is 3.2 learning rates; here less, bias correction included."""
    usual, free, clipped = trained(None, 1.0), trained(None, 1e4), trained(2.0, 1e4)
    assert free > 2.0 * usual
    assert clipped < 1.5 * usual


def test_usual_gradients_and_the_first_steps_are_left_alone():
    parameter = nn.Parameter(torch.zeros(50))
    optimizer = torch.optim.Adam([parameter], lr=1e-3)
    for step in range(300):
        parameter.grad = torch.randn(50) * (1e4 if step == 50 else 1.0)
        before = copy.deepcopy(parameter.grad)
        clip_spikes(optimizer, 3.0)
        assert torch.equal(parameter.grad, before)
        optimizer.step()


def test_a_spike_keeps_its_direction_and_gets_the_length_that_is_allowed():
    parameter = nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.Adam([parameter], lr=1e-3)
    for _ in range(150):
        parameter.grad = torch.tensor([3.0, 0.0, 0.0, 4.0])  # its length: 5
        optimizer.step()
    parameter.grad = torch.tensor([0.0, -600.0, 800.0, 0.0])
    clip_spikes(optimizer, 2.0)
    torch.testing.assert_close(parameter.grad, torch.tensor([0.0, -6.0, 8.0, 0.0]), rtol=1e-4, atol=0)


class Pulled(Objective):
    """A loss whose gradient is 1 everywhere, but in one half of the parameters and one step 10,000."""

    def __init__(self, spike):
        super().__init__(nn.ParameterList(nn.Parameter(torch.zeros(8)) for _ in range(2)))
        self.spike = spike

    def forward(self, x, y):
        hit, spared = (half.sum() for half in self.network)
        return hit * (1e4 if self.step == self.spike else 1.0) + spared


@pytest.mark.parametrize(
    ("limit", "spike", "expected"),
    [(2.0, 110, (2.0, 1e-3)), (2.0, 50, (10.0, 1e-3)), (None, 110, (10.0, 1e-3))],
    ids=["settled", "first steps", "without a limit"],
)
def test_a_training_shortens_a_spike_where_the_whole_gradient_has_been_clipped(tmp_path, limit, spike, expected):
    """Clipped to 10 times what one half usually has, so the half that is spared has a thousandth of its own left."""
    reached = []

    def watched(*asked):
        optimizer = adam(*asked)
        (group,) = optimizer.param_groups
        optimizer.register_step_pre_hook(lambda *_: reached.append([float(p.grad.mean()) for p in group["params"]]))
        return optimizer

    plan = Plan("toy", 120, 1e-3, clip_norm=10.0 * math.sqrt(8), clip_spikes=limit, optimizer=watched)
    fit(Pulled(spike), plan, batches, CheckpointStore(tmp_path), CPU, Hooks())
    assert reached.pop(spike) == pytest.approx(expected, rel=1e-3)
    assert reached == [[1.0, 1.0]] * 119
