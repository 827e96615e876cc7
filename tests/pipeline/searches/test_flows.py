"""Trials over the flow of a task, without Ray: what one finds, what a run of it says, one that diverges."""

from __future__ import annotations

import copy

import pytest
import torch
import yaml
from smoke_project import TASK
from tracking_store import all_runs

from pipeline.config import Params
from pipeline.errors import ConfigError, DataError
from pipeline.searches.flows import QUALITY, FlowSpace, train_and_audit
from pipeline.searches.trial import find
from pipeline.tracking.identity import PARENT_TAG, Identity
from pipeline.tracking.run import open_run

BASE = {"settings.stability.analyses": {"reconstruction": {}}, "settings.training.validation_every": 4}
METRICS = {QUALITY: "min", "reconstruction.image_max_abs": "min"}
PENALTY = {"name": "finite_differences", "options": {"weight": 0.1, "every": 2}}
PARENT = Identity("search-own", {"search": "own"}, "k")


def space_of(folder, **grid):
    content = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    config = {"task": TASK, "variant": "certified_spline", "seed": 10, "base": BASE, "grids": [grid]}
    content["searches"] = {"flows": {"own": config | {"metrics": METRICS, "within": 0.1}}}
    params = Params.model_validate(copy.deepcopy(content))
    return FlowSpace("own", params.searches.flows["own"], params), params.runtime


def done(folder, **grid):
    """Return the trials of a grid whose work was done in this process, and what each reported."""
    space, runtime = space_of(folder, **grid)
    trials, told = space.trials(folder, PARENT, runtime), []
    for trial in trials:
        told.append([])
        find(train_and_audit, trial, told[-1].append, torch.device("cpu"))
    return trials, told


def test_a_trial_trains_reports_and_audits_and_keeps_no_model(project):
    trials, told = done(project, **{"settings.training.regularizer": [None, PENALTY]})
    found = [trial.result() for trial in trials]
    assert [result.status for result in found] == ["finished", "finished"]
    for result, rows in zip(found, told, strict=True):
        assert [row["step"] for row in rows] == [4, 8, 12]
        assert result.values[QUALITY] == pytest.approx(rows[-1][QUALITY])
        assert result.values["reconstruction.image_max_abs"] < 1e-3
    assert found[0].values[QUALITY] != found[1].values[QUALITY]  # the penalty is a part of the second training
    assert not list((project / ".runs").rglob("*.safetensors"))
    assert [trial.label for trial in trials] == [
        "regularizer none",
        "regularizer finite_differences weight 0.1 every 2",
    ]
    with open_run(project, PARENT, "auto", {}):
        pass
    _, runs = all_runs(project)
    nested = [run for run in runs if PARENT_TAG in run.data.tags]
    assert {run.data.params.get("training.regularizer.options.weight") for run in nested} == {None, "0.1"}


def test_a_trial_that_diverges_is_a_result(project):
    (trial,), _ = done(project, **{"settings.training.learning_rate": [1e30]})
    result = trial.result()
    assert result.status == "diverged" and "non-finite loss" in result.reason
    assert not result.values


def test_trials_that_train_the_same_are_refused(project):
    space, runtime = space_of(project, **{"settings.stability.stress_size": [16, 24]})
    with pytest.raises(ConfigError, match="'stress_size 16' and 'stress_size 24' are the same training"):
        space.trials(project, PARENT, runtime)


def test_missing_pictures_are_told_before_anything_runs(project, tmp_path):
    space, runtime = space_of(project, **{"settings.training.noise_std": [0.0]})
    with pytest.raises(DataError, match="steadyflow repro prepare@df2k_x4"):
        space.trials(tmp_path / "empty", PARENT, runtime)


def test_a_place_within_a_varied_one_is_written_with_it(project):
    """Whichever of them wins, also the one that has no such place."""
    weight = "settings.training.regularizer.options.weight"
    space, runtime = space_of(project, **{"settings.training.regularizer": [None, PENALTY]})
    space.config.grids.append({f"settings.training.regularizer, {weight}": [[PENALTY, 0.5]]})
    for trial in space.trials(project, PARENT, runtime):
        training = space.entry(trial)["profiles"]["smoke"][TASK]["training"]
        assert training == {"regularizer": trial.values["settings.training.regularizer"]}
