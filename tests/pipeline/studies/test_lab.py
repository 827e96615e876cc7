"""Trials of a study: remembered, side by side or not, with runs of their own."""

import functools
import sqlite3

import pytest
import torch
from torch import nn

from pipeline.config import RuntimeConfig
from pipeline.objective import Objective
from pipeline.studies.lab import Lab
from pipeline.tracking.identity import Identity
from pipeline.training.loop import Plan

SETTINGS = [{"variant": name, "seed": seed} for name in ("a", "b") for seed in (0, 1)]


def lab_in(folder, **runtime):
    settings = {"threads": 1, "device": "cpu", "log_every": 1, "tracking_uri": f"sqlite:///{folder}/mlflow.db"}
    identity = Identity("study-trial", {"study": "trial"}, "0123abcd")
    return Lab(folder, folder / "out", identity, RuntimeConfig(**settings, **runtime), {})


def squared(notes, trial):
    """Note that it ran; return a number that depends on the tags alone."""
    with (notes / "ran").open("a") as file:
        file.write(f"{trial.name}\n")
    return {"square": float((trial.tags["seed"] + 2) ** 2), "words": str(trial.tags["variant"])}


class Square(Objective):
    def forward(self, x):
        return self.network(x).square().mean()


def trained(trial):
    trial.seed_weights("x", trial.tags["seed"])
    objective = Square(nn.Linear(2, 1))

    def batches(start, stop):
        for step in range(start, stop):
            yield [torch.full((1, 2), float(step + 1))]

    outcome = trial.train(objective, Plan("t", 5, 1e-2), batches)
    return {"weight": outcome.network.weight.tolist(), "loss": outcome.history[-1]["loss"]}


def failing(notes, trial):
    if trial.tags == SETTINGS[2]:
        raise RuntimeError("lightning")
    return squared(notes, trial)


def ran(folder):
    return (folder / "ran").read_text().splitlines()


def test_trials_come_back_in_order_with_their_tags(tmp_path):
    found = lab_in(tmp_path, trials=1).trials(functools.partial(squared, tmp_path), SETTINGS)
    assert found == [{**tags, "square": (tags["seed"] + 2) ** 2, "words": tags["variant"]} for tags in SETTINGS]


def test_a_trial_that_ended_is_not_repeated(tmp_path):
    lab = lab_in(tmp_path, trials=1)
    with pytest.raises(RuntimeError, match="lightning"):
        lab.trials(functools.partial(failing, tmp_path), SETTINGS)
    assert len(ran(tmp_path)) == 2
    lab.trials(functools.partial(squared, tmp_path), SETTINGS)
    assert len(ran(tmp_path)) == len(set(ran(tmp_path))) == 4


def test_a_study_that_ended_computes_its_trials_anew(tmp_path):
    lab = lab_in(tmp_path, trials=1)
    for _ in range(2):
        lab.trials(functools.partial(squared, tmp_path), SETTINGS)
        lab.forget()
    assert len(ran(tmp_path)) == 8


def test_side_by_side_is_one_after_the_other(tmp_path):
    alone = lab_in(tmp_path / "one", trials=1).trials(trained, SETTINGS[:3])
    assert lab_in(tmp_path / "two", trials=2).trials(trained, SETTINGS[:3]) == alone
    assert alone[0]["weight"] == alone[2]["weight"] != alone[1]["weight"]


def test_every_trial_has_a_run_with_its_numbers(tmp_path):
    lab_in(tmp_path, trials=2).trials(trained, SETTINGS[:2])
    with sqlite3.connect(tmp_path / "mlflow.db") as base:
        names = {name for (name,) in base.execute("select name from runs where status = 'FINISHED'")}
        logged = base.execute("select count(*) from metrics where key = 'train/loss'").fetchone()
    assert {f"study-trial-{tags['variant']}-{tags['seed']}" for tags in SETTINGS[:2]} <= names
    assert logged == (10,)
