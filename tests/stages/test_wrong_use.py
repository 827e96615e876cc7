"""Stages that cannot do what is asked say why in one line."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from smoke_project import TASK, edit_params, fail, make_project

MAD = {"learning_rate": 1e6, "recovery": None}


def test_a_training_that_explodes_says_so(project):
    edit_params(project, lambda params: params["profiles"]["smoke"][TASK]["training"].update(MAD))
    assert "non-finite loss or gradient" in fail(project, "train")


def test_unknown_names_teach(project):
    assert "did you mean 'affine'" in fail(project, "train", "afine")
    edit_params(project, lambda params: params["runtime"].update(wrokers=2))
    assert "did you mean 'workers'" in fail(project, "train")


def test_missing_inputs_name_the_stage_to_run(tmp_path):
    make_project(tmp_path)
    assert f"steadyflow repro prepare@{TASK}" in fail(tmp_path, "train")


def test_a_missing_source_folder_is_named(tmp_path):
    make_project(tmp_path)
    edit_params(tmp_path, lambda params: params["datasets"]["df2k"].update(source="no/such/folder"))
    assert "datasets.df2k.source" in fail(tmp_path, "prepare", None)


def test_a_model_of_another_variant_is_refused(trained, project):
    source = trained / "artifacts" / TASK / "seed10" / "affine" / "model"
    shutil.copytree(source, project / "artifacts" / TASK / "seed10" / "bounded" / "model")
    assert "variant 'affine', but 'bounded' was asked for" in fail(project, "sample", "bounded")


def test_weights_of_another_network_are_refused(trained, project):
    model = project / "artifacts" / TASK / "seed10" / "affine" / "model"
    shutil.copytree(trained / "artifacts" / TASK / "seed10" / "affine" / "model", model)
    config = json.loads((model / "config.json").read_text())
    config["transform"] = {"name": "rational_quadratic_spline", "options": {}}
    (model / "config.json").write_text(json.dumps(config))
    assert "was trained as" in fail(project, "sample")
    save_file(load_file(model / "weights.safetensors"), model / "weights.safetensors")  # without its identity
    line = fail(project, "sample")
    assert "another network" in line and "shape" in line
    (model / "weights.safetensors").write_bytes(b"\0" * 100)
    assert "cannot be read" in fail(project, "sample")


def test_a_full_disk_is_one_line(tmp_path, capsys):
    from pipeline.console import run_main

    def full():
        raise OSError(28, "No space left on device", str(tmp_path / "weights"))

    with pytest.raises(SystemExit) as stopped:
        run_main(full)
    assert stopped.value.code == 2
    assert "no disk space left" in capsys.readouterr().err
