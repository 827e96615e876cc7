"""The Flow-GAN's study: the discriminator and its penalty, the two losses, resume, and a whole tiny run."""

import csv
import math

import pytest
import torch
from study_runs import run_in
from torch import nn

from models.lab.glow import Glow
from pipeline.errors import Interrupted, SteadyflowError
from pipeline.studies.density.training import GLOWS
from pipeline.studies.flow_gan import training
from pipeline.studies.flow_gan.discriminator import discriminator, gradient_penalty
from pipeline.studies.flow_gan.study import FlowGan

TINY = {"seeds": 1, "steps": 2, "levels": 1, "blocks": 1, "hidden": 4, "judge": "4,4", "batch": 4, "watched": 1}


def test_the_penalty_of_a_linear_judge_is_that_of_its_weights():
    judge = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    nn.init.constant_(judge[1].weight, 1.5)  # norm 3: (3 - 1)^2
    x, y = torch.rand(2, 3, 1, 2, 2)
    assert gradient_penalty(judge, x, y, torch.rand(3)).item() == pytest.approx(4.0)


def test_the_judges_layers_have_norm_one():
    torch.manual_seed(0)
    judge = discriminator(1, (8, 8), (8, 8, 16))
    for _ in range(50):  # a step of power iteration each
        logits = judge(torch.rand(2, 1, 8, 8))
    assert logits.shape == (2,)
    layers = [module for module in judge if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4
    for layer in layers:
        assert float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2)) == pytest.approx(1.0, abs=0.02)


def players(study):
    torch.manual_seed(0)
    flow = Glow(GLOWS["additive"], 1, 1, 4, channels=1)
    return training.Players(flow, discriminator(1, (8, 8), (4, 4)), study)


def state(one):
    return torch.cat([part.flatten() for part in (*one.flow.parameters(), *one.judge.parameters())])


def test_likelihood_alone_never_asks_the_judge():
    from pipeline.seeds import generator
    from pipeline.studies.small_pictures import small_pictures

    study = FlowGan(**TINY)
    one = players(study)
    judge = [part.clone() for part in one.judge.parameters()]
    flow = [part.clone() for part in one.flow.parameters()]
    weights = training.Weights(0.0, 1.0)
    training._step(one, study, small_pictures(), weights, generator("test"), torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(judge, one.judge.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(flow, one.flow.parameters(), strict=True))


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted():
    one = players(FlowGan(**TINY))
    before = state(one)
    loss = next(one.flow.parameters()).sum() * math.nan
    training._update(one, one.of_flow, one.flow, loss)
    assert one.skipped == 1 and torch.equal(state(one), before)


def test_an_interrupted_training_goes_on_to_the_same_end(tmp_path, monkeypatch):
    study = FlowGan(**{**TINY, "steps": 4, "objectives": "flow_gan", "watched": 4})
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    parted.mkdir()
    run_in(whole, study)
    take, taken = training._step, []

    def stops(*arguments):
        take(*arguments)
        taken.append(1)

    class Stop:
        def __enter__(self):
            return lambda: len(taken) == 2

        def __exit__(self, *rest):
            return None

    with monkeypatch.context() as patched:
        patched.setattr(training, "_step", stops)
        patched.setattr(training, "stop_requests", Stop)
        with pytest.raises(Interrupted, match="saved at step 2"):
            run_in(parted, study)
    run_in(parted, study)
    assert (parted / "results.csv").read_text() == (whole / "results.csv").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"objectives": "gann"}, "--objectives: unknown 'gann'; did you mean 'gan'"),
        ({"coupling": "residual"}, "--coupling: unknown 'residual'"),
        ({"judge": "8,x"}, "--judge: '8,x' must be positive whole numbers"),
        ({"penalty": -1.0}, "--penalty: -1.0 is not a finite number >= 0"),
        ({"mle_weight": 0.0}, "--mle-weight: 0.0 is not a finite number > 0"),
        ({"source": "nowhere"}, "--source 'nowhere': there is no such folder"),
    ],
)
def test_a_wrong_option_is_told_in_one_line_and_nothing_written(tmp_path, options, told):
    with pytest.raises(SteadyflowError) as caught:
        run_in(tmp_path / "out", FlowGan(**options))
    assert list(tmp_path.iterdir()) == []
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_tiny_run_leaves_a_row_per_look_and_every_claim(tmp_path):
    page = run_in(tmp_path, FlowGan(**TINY))
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["objective"], row["step"]) for row in rows] == [
        (objective, step) for objective in ("mle", "gan", "flow_gan") for step in ("0", "2")
    ]
    # before the first step all are the same flow, the identity but for the order of values
    assert {row["bits_per_dim"] for row in rows if row["step"] == "0"} == {rows[0]["bits_per_dim"]}
    assert float(rows[0]["condition_number"]) == pytest.approx(1.0)
    assert len(page.comparisons) == 4


def test_the_page_says_how_the_demos_sizes_were_chosen_and_of_no_others():
    from pipeline.studies.catalogue import STUDIES
    from pipeline.studies.flow_gan import page

    kind = STUDIES["flow_gan"]
    assert "chosen" in page._how_chosen(kind())[0]
    assert page._how_chosen(kind(seeds=7)) == []
