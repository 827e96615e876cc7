"""A frozen encoder stays as pretraining left it, to the bit, and the flow's gradients stay what they were."""

from pathlib import Path

import pydantic
import pytest
import torch

from pipeline.experiment import Experiment
from pipeline.params import load_params
from pipeline.training.loop import Trainer
from pipeline.training.train import flow_objective, flow_plan

SMOKE = load_params(Path(__file__).resolve().parents[3] / "params.yaml").model_copy(update={"profile": "smoke"})


def experiment(task="df2k_x4", **training):
    changes = {f"settings.training.{name}": value for name, value in training.items()}
    return Experiment.of(SMOKE, task, SMOKE.seeds[0], "rq_spline").vary(changes)


def trained(chosen):
    """Return a trainer after two steps on a made-up picture, and its weights before them."""
    torch.manual_seed(0)
    trainer = Trainer(flow_objective(chosen), flow_plan(chosen), torch.device("cpu"))
    batch = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 4, 4)
    trainer.start(batch)
    before = {name: value.clone() for name, value in trainer.objective.network.state_dict().items()}
    for _ in range(2):
        trainer.update(trainer.objective, batch)
        trainer.step += 1
    return trainer, before


@pytest.mark.parametrize("memory", ["plain", "checkpoint", "reversible"])
def test_it_does_not_change_while_the_flow_learns(memory):
    frozen, before = trained(experiment(freeze_encoder=True, memory=memory))
    after = frozen.objective.network.state_dict()
    changed = {name.startswith("encoder.") for name in before if not torch.equal(before[name], after[name])}
    assert changed == {False}
    assert all(parameter.grad is None for parameter in frozen.objective.network.encoder.parameters())


def test_the_flow_has_the_gradients_that_it_has_beside_a_trained_encoder():
    (frozen, _), (free, _) = (
        trained(experiment(freeze_encoder=value, steps=10**9, warmup=10**9)) for value in (True, False)
    )
    # at a learning rate of nothing, both end where they began, and the last gradients are of the same weights
    wanted = dict(free.objective.network.named_parameters())
    for name, parameter in frozen.objective.network.flow.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[f"flow.{name}"].grad, msg=name, rtol=1e-3, atol=1e-5)
    assert any(wanted[name].grad is not None for name in wanted if name.startswith("encoder."))


def test_one_that_was_never_pretrained_is_refused():
    with pytest.raises(pydantic.ValidationError, match=r"pretraining\.steps is 0"):
        experiment(freeze_encoder=True).vary({"settings.pretraining.steps": 0})
