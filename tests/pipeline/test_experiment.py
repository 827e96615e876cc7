"""An experiment carries its settings: made once, varied without a file, trained beside others of the same name."""

from __future__ import annotations

import pickle

import pydantic
import pytest
import torch
from smoke_project import ROOT, TASK
from tracking_store import all_runs

from pipeline.errors import ConfigError, DataError
from pipeline.experiment import Experiment
from pipeline.files import read_json
from pipeline.layout import encoder_folder, manifest_path
from pipeline.params import load_params
from pipeline.tracking.identity import Identity
from pipeline.training.jobs import Job
from pipeline.training.train import train

PARAMS = load_params(ROOT / "params.yaml")


@pytest.fixture
def experiment():
    return Experiment.of(PARAMS, "df2k_x4", 10, "affine")


@pytest.mark.parametrize(
    ("task", "seed", "variant", "said"),
    [("df2k_4", 10, "affine", "df2k_x4"), ("lol", 11, "affine", "seed 11"), ("lol", 10, "afine", "affine")],
)
def test_what_is_not_in_params_yaml_is_named(task, seed, variant, said):
    with pytest.raises(ConfigError, match=said):
        Experiment.of(PARAMS, task, seed, variant)


def test_a_varied_experiment_differs_in_that_value_alone(experiment):
    varied = experiment.vary({"settings.training.learning_rate": 0.5})
    assert varied.settings.training.learning_rate == 0.5
    assert varied.vary({"settings.training.learning_rate": experiment.settings.training.learning_rate}) == experiment


def test_an_option_of_the_transform_can_be_added(experiment):
    assert experiment.vary({"design.options.eps": 0.2}).design.options == {"eps": 0.2}


def test_a_place_that_does_not_exist_is_refused(experiment):
    with pytest.raises(KeyError, match="learning_rat"):
        experiment.vary({"settings.training.learning_rat": 0.5})


def test_a_value_that_may_not_be_is_refused(experiment):
    with pytest.raises(pydantic.ValidationError):
        experiment.vary({"settings.training.learning_rate": -1.0})


def test_a_job_survives_the_way_to_a_worker(experiment, tmp_path):
    job = Job(tmp_path, experiment, tmp_path / "out", Identity("search", {"search": "s"}, "k1"))
    assert Job.unpacked(pickle.loads(pickle.dumps(job.packed()))) == job


def test_the_key_of_a_job_changes_with_its_settings_and_not_with_the_runtime(experiment, tmp_path):
    manifest = manifest_path(tmp_path, experiment.task)
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")

    for seed in (10, 11):
        encoder = encoder_folder(tmp_path, experiment.task, seed)
        encoder.mkdir(parents=True)
        (encoder / "weights.safetensors").write_bytes(b"")

    def key(changes):
        return Job(tmp_path, experiment.vary(changes)).key()

    pretraining = Job(tmp_path, experiment.model_copy(update={"variant": None, "design": None})).key
    before = key({}), pretraining()
    weights = encoder_folder(tmp_path, experiment.task, 10) / "weights.safetensors"
    weights.write_bytes(b"another")
    assert key({}) != before[0] and pretraining() == before[1]
    assert key({}) == key({"runtime.log_every": 1}) == key({"settings.sampling.draws": 3})
    assert len({key({}), key({"settings.training.batch": 4}), key({"design.options.eps": 0.3}), key({"seed": 11})}) == 4
    weights.unlink()
    with pytest.raises(DataError, match="pretrain@df2k_x4-10"):
        key({})


def test_trainings_of_one_name_with_other_settings_live_side_by_side_without_a_params_yaml(project, monkeypatch):
    chosen = Experiment.of(load_params(project / "params.yaml"), TASK, 10, "affine")
    (project / "params.yaml").unlink()
    monkeypatch.chdir(project)
    search = Identity("search", {"search": "rates"}, "k1")
    rates = (1e-3, 2e-3)
    for rate in rates:
        varied = chosen.vary({"settings.training.learning_rate": rate, "settings.training.steps": 2})
        train(Job(project, varied, project / f"trial{rate}", search), lambda values: None, torch.device("cpu"))
    keys = {read_json(project / f"trial{rate}" / "training" / "summary.json")["run_key"] for rate in rates}
    assert len(keys) == 2
    found = [run for run in all_runs(project)[1] if run.data.tags.get("steadyflow.run_key") in keys]
    assert [run.data.tags["steadyflow.superseded"] for run in found] == ["false", "false"]
    assert len({run.data.tags["mlflow.parentRunId"] for run in found}) == 1
    assert {run.data.params["training.learning_rate"] for run in found} == {str(rate) for rate in rates}
    assert not (project / "artifacts" / TASK / "seed10" / "affine").exists()
