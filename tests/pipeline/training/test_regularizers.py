"""Regularizers: their numbers on linear maps, their gradients, and what a training with them does and stores."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from gradient_cases import largest_difference
from made_up_training import made_up_batches, smoke_experiment
from torch import nn

from models.flow.bijection import Bijection, Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling
from models.flow.memory_saving import MODES, save_memory
from models.flow.transforms import Affine
from pipeline.errors import Interrupted
from pipeline.kinds.objectives import published_nll
from pipeline.seeds import generator
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.loop import Hooks, fit
from pipeline.training.outputs import write_curve
from pipeline.training.regularizers import (
    DIRECTIONS,
    REGULARIZERS,
    FiniteDifferences,
    NormalizingFlow,
    regularizer_of,
)
from pipeline.training.train import flow_objective, flow_plan

CPU = torch.device("cpu")


class Linear(Bijection):
    """z = A x for pictures of 4 values, float64."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix, dtype=torch.float64))

    def forward(self, x, condition=None):
        return self._apply_to(x, self.matrix)

    def inverse(self, z, condition=None):
        return self._apply_to(z, torch.linalg.inv(self.matrix))

    def _apply_to(self, x, matrix):
        z = (x.flatten(1) @ matrix.T).view(x.shape)
        return z, torch.linalg.slogdet(matrix)[1].expand(len(x))


def pictures(count=3, seed=0):
    return torch.randn(count, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def rotation():
    return torch.linalg.qr(pictures(4, seed=5).view(4, 4))[0]


def test_of_a_scaled_rotation_the_penalty_is_the_frobenius_norms_per_value():
    """|c R v| = c for every unit v: exact, whatever is drawn. |J_F|^2 / d = c^2 and |J_G|^2 / d = 1 / c^2."""
    found = FiniteDifferences(weight=0.5)(Linear(3.0 * rotation()), pictures(), None, source())
    assert found.item() == pytest.approx(0.5 * (9.0 + 1.0 / 9.0), rel=1e-6)


def test_the_released_form_is_eps_times_the_frobenius_norms():
    """A value's directions have norm 1 over the batch, so that sum_b |c R eps v_b|^2 / eps = c^2 eps d."""
    penalty = FiniteDifferences(weight=0.5, eps=0.2, directions="released")
    found = penalty(Linear(3.0 * rotation()), pictures(), None, source())
    assert found.item() == pytest.approx(0.5 * 0.2 * 4 * (9.0 + 1.0 / 9.0), rel=1e-6)


MATRIX = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64)) @ rotation()
FORWARD, INVERSE = 16 + 4 + 1 + 0.25, 1 / 16 + 1 / 4 + 1 + 4  # squared Frobenius norms: of singular values


def test_in_the_mean_over_directions_it_is_the_frobenius_norms_per_value_of_any_map():
    found = FiniteDifferences(weight=1.0)(Linear(MATRIX), pictures(40_000), None, source())
    assert found.item() == pytest.approx((FORWARD + INVERSE) / 4, rel=0.02)


def test_in_the_mean_the_released_form_is_eps_times_the_frobenius_norms_of_any_map():
    penalty = FiniteDifferences(weight=1.0, eps=0.1, directions="released")
    found = penalty(Linear(MATRIX), pictures(40_000), None, source())
    assert found.item() == pytest.approx(0.1 * (FORWARD + INVERSE), rel=0.02)


@pytest.mark.parametrize("rule", DIRECTIONS)
def test_both_terms_are_those_of_the_drawn_directions(rule):
    """Forward directions are drawn first; the map is applied here by hand."""
    x, drawn = pictures(), source(3)
    normal = [torch.randn(x.shape, generator=drawn, dtype=x.dtype).flatten(1) for _ in range(2)]
    v, w = (n / n.norm(dim=0 if rule == "released" else 1, keepdim=True) for n in normal)
    squared = (v @ MATRIX.T).square().sum(1) + (w @ torch.linalg.inv(MATRIX).T).square().sum(1)
    expected = 0.01 * squared.sum() / 0.1 if rule == "released" else squared.mean()
    found = FiniteDifferences(weight=1.0, directions=rule)(Linear(MATRIX), x, None, source(3))
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)


def test_the_directions_of_every_picture_have_length_one():
    v = DIRECTIONS["per_sample"].directions(torch.randn(5, 3, 4, 4, generator=source()))
    torch.testing.assert_close(v.flatten(1).norm(dim=1), torch.ones(5))


def curved(dtype=torch.float64):
    """Return a chain of two couplings away from their start, and pictures."""
    torch.manual_seed(0)
    network = Chain([Coupling(2, Affine(), 0, 4), ActNorm(2), Coupling(2, Affine(), 0, 4)])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.to(dtype), torch.randn(3, 2, 3, 3).to(dtype)


@pytest.mark.parametrize("kind", [FiniteDifferences(weight=1.0), NormalizingFlow(weight=1.0)], ids=lambda k: k.name)
def test_the_gradient_is_that_of_the_penalty_as_a_function_of_the_parameters(kind):
    network, x = curved()
    chosen = network.layers[0].net.out.conv.weight
    loss = kind(network, x, None, source())
    (gradient,) = torch.autograd.grad(loss, [chosen])
    direction, step = torch.randn_like(gradient), 1e-6
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            chosen.add_(sign * step * direction)
            values.append(kind(network, x, None, source()).item())
            chosen.sub_(sign * step * direction)
    assert (gradient * direction).sum().item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


def test_the_inverse_term_has_a_gradient_of_its_own():
    """z = c x: with the forward term alone the gradient at c = 1 / 2 would be 2 c; 1 / c^2 adds -2 / c^3."""
    network = Linear(0.5 * torch.eye(4))
    FiniteDifferences(weight=1.0)(network, pictures(), None, source()).backward()
    assert network.matrix.grad.trace().item() == pytest.approx(2 * 0.5 - 2 / 0.5**3, rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rule", DIRECTIONS)
def test_a_pass_that_was_made_already_changes_nothing_and_memory_may_be_saved(mode, rule):
    network, x = curved()
    penalty, found = FiniteDifferences(weight=1.0, directions=rule), []
    for memory, encoded in (("plain", False), (mode, True)):
        save_memory(network, memory)
        network.zero_grad()
        penalty(network, x, None, source(), network(x) if encoded else None).backward()
        found.append({name: parameter.grad.clone() for name, parameter in network.named_parameters()})
    assert largest_difference(found[1], found[0]) < 1e-9


def test_it_is_due_in_every_kth_step_counted_from_one():
    assert [step + 1 for step in range(25) if FiniteDifferences(weight=1.0, every=10).due(step)] == [10, 20]
    assert all(NormalizingFlow(weight=1.0).due(step) for step in range(3))


def test_under_autocast_differences_are_those_of_float32():
    network, x = curved(torch.float32)
    exact = FiniteDifferences(weight=1.0)(network, x, None, source()).item()
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(x)
        assert network.layers[0].net.mix(torch.zeros(1, 4, 1, 1)).dtype == torch.bfloat16
        found = FiniteDifferences(weight=1.0)(network, x, None, source(), rough)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact, rel=1e-6)


def test_the_likelihood_is_of_a_normal_distribution_in_nats():
    """x = A^-1 z with z ~ N(0, I): x is normal with covariance (A^T A)^-1."""
    x = pictures()
    density = torch.distributions.MultivariateNormal(torch.zeros(4).double(), precision_matrix=MATRIX.T @ MATRIX)
    expected = -density.log_prob(x.flatten(1)).mean()
    found = NormalizingFlow(weight=0.25)(Linear(MATRIX), x, None, source())
    assert found.item() == pytest.approx(0.25 * expected.item(), rel=1e-9)


def flow_and_batch(memory="plain", batch=2):
    """Return a smoke flow, away from its start, and a batch."""
    experiment = smoke_experiment("df2k_x4", {"settings.training.memory": memory, "settings.training.batch": batch})
    torch.manual_seed(0)
    objective = flow_objective(experiment)
    with torch.no_grad():
        for parameter in objective.network.flow.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return objective, next(made_up_batches(experiment)(0, 1))


def test_with_its_own_conditions_it_only_rescales_the_likelihood():
    objective, (target, seen, *noise) = flow_and_batch()
    encoded = objective.encode(target, seen, *noise)
    found = NormalizingFlow(weight=0.01)(objective.network, target, encoded.condition, source())
    pixels = target.shape[2] * target.shape[3]
    published = objective.of_encoded(target, encoded).mean()
    assert found.item() == pytest.approx(0.01 * math.log(2) * pixels * published.item(), rel=1e-5)


@pytest.mark.parametrize("memory", MODES)
def test_shuffled_conditions_are_those_of_the_picture_before(memory):
    objective, (target, seen, *noise) = flow_and_batch(memory, batch=3)
    turned = [2, 0, 1]
    other = objective.encode(target, seen[turned], *[part[turned] for part in noise])
    expected = -0.01 * (other.log_det - 0.5 * other.z.square().flatten(1).sum(1)).mean()
    expected += 0.01 * 0.5 * math.log(2 * math.pi) * target[0].numel()
    own = objective.encode(target, seen, *noise)
    found = NormalizingFlow(weight=0.01, conditions="shuffled")(
        objective.network, target, own.condition, source(), (own.z, own.log_det)
    )
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert published_nll(own.log_det, 1).sum().item() != pytest.approx(published_nll(other.log_det, 1).sum().item())


def test_of_one_picture_or_without_a_condition_nothing_is_shuffled():
    shuffled = NormalizingFlow(weight=1.0, conditions="shuffled")
    with pytest.raises(ValueError, match="needs a condition"):
        shuffled(Linear(MATRIX), pictures(), None, source())
    with pytest.raises(ValueError, match="more than one picture"):
        shuffled(Linear(MATRIX), pictures(1), torch.zeros(1), source())


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("finite_diferences", {}, "did you mean 'finite_differences'?"),
        ("finite_differences", {}, "option 'weight' is missing"),
        ("finite_differences", {"weight": "1e-3"}, "write 1.0e-3"),
        ("finite_differences", {"weight": 0.0}, "weight must be a positive number"),
        ("finite_differences", {"weight": math.nan}, "weight must be a positive number"),
        ("finite_differences", {"weight": True}, "weight must be a positive number"),
        ("finite_differences", {"weight": 1.0, "evry": 5}, "did you mean 'every'?"),
        ("finite_differences", {"weight": 1.0, "every": 2.5}, "whole number of steps"),
        ("finite_differences", {"weight": 1.0, "directions": "relased"}, "did you mean 'released'?"),
        ("normalizing_flow", {"weight": 1.0, "conditions": "shufled"}, "did you mean 'shuffled'?"),
    ],
)
def test_what_cannot_be_is_told_with_what_can(name, options, said):
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        regularizer_of(name, options)


def test_a_name_leads_to_its_regularizer():
    assert {name: kind.name for name, kind in REGULARIZERS.items()} == {name: name for name in REGULARIZERS}
    assert regularizer_of("finite_differences", {"weight": 1, "every": 5}) == FiniteDifferences(1, every=5)


def regularized(memory="plain", steps=6, precision="float32", task="df2k_x4", **options):
    penalty = {"name": "finite_differences", "options": {"weight": 0.1, "every": 2, **options}}
    changes = {"regularizer": penalty, "memory": memory, "steps": steps, "precision": precision}
    return smoke_experiment(task, {f"settings.training.{name}": value for name, value in changes.items()})


def run(experiment, folder, stop_at=None):
    """Train the experiment's flow on made-up pictures; return the outcome."""
    torch.manual_seed(0)
    plan = dataclasses.replace(flow_plan(experiment), log_every=1, validation_every=0)
    asked = iter(range(plan.steps))
    hooks = Hooks(should_stop=lambda: stop_at is not None and next(asked) + 1 == stop_at)
    return fit(flow_objective(experiment), plan, made_up_batches(experiment), CheckpointStore(folder), CPU, hooks)


@pytest.mark.parametrize(
    ("memory", "precision"), [("plain", "float32"), ("reversible", "float32"), ("reversible", "bfloat16")]
)
def test_a_regularized_training_that_was_interrupted_ends_the_same_bit_for_bit(tmp_path, memory, precision):
    experiment = regularized(memory, precision=precision)
    whole = run(experiment, tmp_path / "whole")
    with pytest.raises(Interrupted, match="step 3"):
        run(experiment, tmp_path / "parts", stop_at=3)
    resumed = run(experiment, tmp_path / "parts")
    expected = whole.network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.network.state_dict().items())
    columns = ("loss", "nll", "penalty")
    assert [[row.get(c) for c in columns] for row in resumed.history] == [
        [row.get(c) for c in columns] for row in whole.history
    ]


def test_the_log_tells_likelihood_and_penalty_apart(tmp_path):
    outcome = run(regularized(), tmp_path / "run")
    for row in outcome.history:
        assert ("penalty" in row) == (row["step"] % 2 == 0)
        assert row["loss"] == pytest.approx(row["nll"] + row.get("penalty", 0.0), rel=1e-5)
    write_curve(tmp_path, outcome, "loss")  # the pretraining's, which has no such columns


def test_a_regularized_training_starts_from_the_same_actnorms_as_one_without(tmp_path):
    """The pass that sets ActNorm layers must not see the penalty's perturbed pictures."""
    from pipeline.training.loop import Trainer

    starts = []
    for experiment in (regularized(every=1), smoke_experiment("df2k_x4", {})):
        torch.manual_seed(0)
        trainer = Trainer(flow_objective(experiment), flow_plan(experiment), CPU)
        trainer.start(next(made_up_batches(experiment)(0, 1)))
        norms = [m for m in trainer.objective.network.modules() if isinstance(m, ActNorm)]
        assert all(bool(norm.initialized) for norm in norms)
        starts.append(torch.cat([norm.log_scale.flatten() for norm in norms]))
    assert torch.equal(*starts)


@pytest.mark.parametrize("task", ["df2k_x4", "lol"])
@pytest.mark.parametrize("memory", ["checkpoint", "reversible"])
def test_whole_trainings_of_every_mode_agree(tmp_path, task, memory):
    found = {}
    for mode in ("plain", memory):
        found[mode] = run(regularized(mode, steps=4, task=task), tmp_path / mode).history
    for one, other in zip(found["plain"], found[memory], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3)


def inverse_gain(network, batch):
    """Return the mean of |G(z + eps v) - G(z)|^2 / eps^2 over directions that no training saw."""
    target, seen, *noise = batch
    condition = network.share(seen, *noise)
    z, _ = network(target, condition)
    v = torch.randn(z.shape, generator=generator("gain"))
    v = 0.1 * v / v.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return ((network.inverse(z + v, condition)[0] - target).square().flatten(1).sum(1) / 0.01).mean().item()


def test_a_training_with_finite_differences_ends_with_a_calmer_inverse(tmp_path):
    gains = {}
    for name, experiment in {
        "none": smoke_experiment("df2k_x4", {"settings.training.steps": 40}),
        "regularized": regularized(steps=40, weight=50.0, every=1),
    }.items():
        network = run(experiment, tmp_path / name).network
        with torch.no_grad():
            gains[name] = inverse_gain(network, next(made_up_batches(experiment)(99, 100)))
    assert gains["regularized"] < 0.8 * gains["none"]
