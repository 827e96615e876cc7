"""The check of full-size models: published counts, every fault told, a killed process, the command."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from command_line import steadyflow
from torch import nn

from models.flow.layers.actnorm import ActNorm
from pipeline.experiment import Experiment
from pipeline.feasibility import one_model, profile
from pipeline.feasibility.profile import check_models, print_rows, published_sizes, run_alone
from pipeline.model_folder import build
from pipeline.params import load_params
from pipeline.training.model_configs import flow_config

ROOT = Path(__file__).resolve().parents[3]
PARAMS = load_params(ROOT / "params.yaml")
SMOKE, PAPER = (PARAMS.model_copy(update={"profile": name}) for name in ("smoke", "paper"))
COUNTS = json.loads((ROOT / "tests" / "helpers" / "published_networks.json").read_text(encoding="utf-8"))["full"]
RELEASED = {"df2k_x4": "robustnf_{}_x4", "df2k_x8": "robustnf_{}_x8", "celeba_x8": "robustnf_{}_x8"}


def experiment(params, task, variant):
    return Experiment.of(params, task, params.seeds[0], variant)


@pytest.mark.parametrize("task", PARAMS.tasks)
@pytest.mark.parametrize("variant", ["affine", "bounded", "rq_spline"])
def test_the_paper_profile_has_the_published_sizes(task, variant):
    sizes = published_sizes(flow_config(experiment(PAPER, task, variant)))
    name = RELEASED.get(task, "llflow").format("spline" if variant == "rq_spline" else "affine")
    if name == "llflow" and variant == "rq_spline":
        assert sizes is None
    else:
        assert sizes == (COUNTS[name]["values"], COUNTS[name]["values"])


def test_nothing_published_to_compare_with():
    assert published_sizes(flow_config(experiment(PAPER, "df2k_x4", "certified_spline"))) is None
    assert published_sizes(flow_config(experiment(SMOKE, "df2k_x4", "affine"))) is None


@pytest.mark.parametrize("task", ["df2k_x4", "df2k_x8", "ve_lol"])
@pytest.mark.parametrize("variant", PARAMS.variants)
def test_every_model_of_the_smoke_profile_is_sound(task, variant):
    found = one_model.try_model(experiment(SMOKE, task, variant), 2)
    assert found.faults == ()
    network = build(flow_config(experiment(SMOKE, task, variant)))
    assert found.parameters == sum(p.numel() for p in network.parameters() if p.requires_grad)
    # more than the libraries take, less than any machine has: kilobytes taken for bytes would show
    assert 2**27 < found.peak_bytes < 2**36


def test_the_coin_of_low_light_hides_nothing():
    always = experiment(SMOKE, "lol", "affine").vary({"settings.training.ratio_probability": 1.0})
    assert one_model.try_model(always, 1).faults == ()


def spoilt(spoil):
    def built(config, memory):
        network = build(config, memory)
        spoil(network)
        return network

    return built


def unused(network):
    network.spare = nn.Parameter(torch.ones(1))


def idle(network):
    next(m for m in network.flow.modules() if isinstance(m, ActNorm)).bias.register_hook(torch.zeros_like)


def not_a_number(network):
    network.encoder.first.bias.register_hook(lambda gradient: gradient * torch.nan)


def out_of_range(network):
    network.encoder.first.weight.data.fill_(torch.nan)


def blind(network):
    inverse = network.inverse
    network.inverse = lambda z, condition: (inverse(z, condition)[0][:, :, 1:] / 0.0, None)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (unused, ["1 tensors got no gradient: spare", "1 tensors did not change in 2 steps: spare"]),
        (idle, ["1 tensors did not change in 2 steps: flow"]),
        (not_a_number, ["1 tensors got a gradient that is not finite: encoder.first.bias"]),
        (out_of_range, ["the loss of step 1 is nan", "the loss of step 2 is nan"]),
        (blind, ["the draw is (3, 31, 32) instead of (3, 32, 32)", "100.00% of the draw's values are not finite"]),
    ],
)
def test_faults_are_told(spoil, said, monkeypatch):
    monkeypatch.setattr("pipeline.training.train.build", spoilt(spoil))
    faults = one_model.try_model(experiment(SMOKE, "df2k_x4", "affine"), 1).faults
    for text in said:
        assert any(fault.startswith(text) for fault in faults), faults


def test_a_network_of_another_size_is_told(monkeypatch, capsys):
    fits = one_model.try_model(experiment(SMOKE, "lol", "affine"), 1)
    monkeypatch.setattr(profile, "run_alone", lambda *arguments: fits)
    monkeypatch.setitem(profile.PUBLISHED, ("low_light", 1, "affine"), 38_000_000)
    rows = check_models(PAPER, ["lol"], ["affine"], 1)
    print_rows(rows, "paper", 1)
    said = capsys.readouterr().out
    assert "fault: lol affine: it has 38,859,481 values as published" in said
    assert "FAULT" in said and "38.86" in said and "38.00" in said


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def fails():
    raise RuntimeError("can't allocate memory\nand more")


def test_what_dies_alone_is_told_and_the_rest_goes_on(capfd):
    assert "was killed (SIGKILL): out of memory?" in run_alone(killed)
    assert run_alone(fails) == "RuntimeError: can't allocate memory"
    assert "Traceback" in capfd.readouterr().err
    assert run_alone(os.getpid) != os.getpid()


def test_the_command_prints_a_table_and_succeeds():
    done = steadyflow("check-paper", "--profile", "smoke", "--task", "lol", "--variant", "certified_spline")
    assert done.returncode == 0, done.stderr
    assert "profile smoke, batch 1" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "certified_spline" in line)
    assert row.split()[0] == "lol" and row.split()[-1] == "ok"
    assert "…" not in done.stdout  # 80 columns hold the table


def test_the_command_fails_with_a_model(tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("{crop: 32,", "{crop: 36,"), encoding="utf-8")
    done = steadyflow("check-paper", "--profile", "smoke", "--task", "lol", cwd=tmp_path)
    assert done.returncode == 1
    faults = [line for line in done.stdout.splitlines() if line.startswith("fault: lol ")]
    assert [fault.split()[2] for fault in faults] == [f"{variant}:" for variant in PARAMS.variants]
