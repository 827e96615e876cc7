"""A new kind of restoration is one file and one line: every stage takes it."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import yaml
from smoke_project import TASK, edit_params, make_project

from pipeline.files import read_json
from pipeline.kinds import KINDS
from stages import evaluate, prepare, pretrain, report, sample, stability, train

ONLY = ("variants", "shields")
FILE = '''
"""Restoration of blurred pictures: a kind that ships nowhere."""

import torch
from torch.nn import functional as F

from models.restoration.encoders.rrdb import RRDBEncoder
from pipeline.kinds.super_resolution import SuperResolution


class Blurred(SuperResolution):
    """HR from an LR picture that was blurred before it was made small."""

    scales = (4,)

    def pair(self, sides, scale):
        target, *inputs = sides
        hr, lr = super().pair(sides, scale)
        return hr, F.avg_pool2d(lr, 3, 1, 1)
'''


@pytest.fixture
def blurred(tmp_path, monkeypatch):
    file = tmp_path / "blurred.py"
    file.write_text(FILE)
    spec = importlib.util.spec_from_file_location("blurred", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(KINDS, "blurred", module.Blurred())


def test_a_kind_from_a_file_goes_through_every_stage(blurred, tmp_path, monkeypatch):
    project = make_project(tmp_path / "project")
    edit_params(project, lambda params: params["tasks"][TASK].update(kind="blurred"))
    edit_params(project, lambda params: params.update({part: {"affine": params[part]["affine"]} for part in ONLY}))
    monkeypatch.chdir(project)
    arguments = {"prepare": [], "pretrain": ["--seed", "10"], "report": None}
    for stage in (prepare, pretrain, train, sample, evaluate, stability, report):
        name = stage.__name__.removeprefix("stages.")
        own = arguments.get(name, ["--variant", "affine", "--seed", "10"])
        monkeypatch.setattr(sys, "argv", [name, *(["--task", TASK, *own] if own is not None else [])])
        stage.main()
    folder = project / "artifacts" / TASK / "seed10" / "affine"
    assert read_json(folder / "model" / "config.json")["kind"] == "blurred"
    assert read_json(folder / "evaluation" / "metrics.json")["metrics"]["lr_psnr_mean"] > 0
    assert "blurred" in (project / "report" / "report.html").read_text()
    assert yaml.safe_load((project / "params.yaml").read_text())["tasks"][TASK]["kind"] == "blurred"
