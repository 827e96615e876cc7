"""Checkpoints and options that cannot be imported: one line each, and nothing in a file is ever run."""

import os
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
import yaml
from upstream_cases import TINY

from pipeline.errors import CheckpointError
from pipeline.upstream import load_upstream


class Hostile:
    """Makes a folder when it is unpickled by a reader that runs code."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.fixture(scope="module")
def weights():
    return {name: TINY[name].weights() for name in ("srflow_x4", "robustnf_spline_fixed_x8", "llflow")}


@pytest.fixture
def fault(tmp_path):
    """Return a function that imports what it is given and returns the one line that refuses it."""

    def refuse(tensors, tree=None, overrides=(), content=None):
        path, options = tmp_path / "x.pth", tmp_path / "x.yml"
        if content is not None:
            path.write_bytes(content)
        else:
            torch.save(tensors, path)
        if tree is not None:
            options.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree), encoding="utf-8")
        with pytest.raises(CheckpointError) as caught:
            load_upstream(path, options if tree is not None else None, overrides)
        line = str(caught.value)
        assert "\n" not in line
        assert len(line) < 700
        return line

    return refuse


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_cut_off(fault, weights, tmp_path, zipped, share):
    torch.save(weights["llflow"], tmp_path / "whole.pth", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "whole.pth").read_bytes()
    assert "cut off, damaged or no checkpoint" in fault(None, content=whole[: int(share * len(whole))])


@pytest.mark.parametrize("way", ["torch", "legacy", "pickle"])
def test_code_in_the_file_is_never_run(fault, tmp_path, way):
    trace = tmp_path / "trace"
    hostile = {"RRDB.conv_first.weight": Hostile(trace)}
    if way == "pickle":
        (tmp_path / "hostile.pth").write_bytes(pickle.dumps(hostile))
    else:
        torch.save(hostile, tmp_path / "hostile.pth", _use_new_zipfile_serialization=way == "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no second line
        line = fault(None, content=(tmp_path / "hostile.pth").read_bytes())
    assert "mkdir' while it is read; nothing was run" in line
    assert not trace.exists()
    pickle.loads(pickle.dumps(hostile))  # the same object does harm elsewhere
    assert trace.exists()


def test_code_in_the_options_is_never_run(fault, weights, tmp_path):
    text = f"network_G: !!python/object/apply:os.mkdir ['{tmp_path}/trace']"
    assert "not a YAML file of options" in fault(weights["srflow_x4"], text)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"conv_first.weight": torch.zeros(1), "RRDB_trunk.0.RDB1.conv1.weight": torch.zeros(1)}, "RRDB encoder alone"),
        ({"body.0.weight": torch.zeros(1)}, "is no checkpoint of SRFlow, NCSR, FS-NCSR, robustNF or LLFlow"),
        ({"epoch": 1, "iter": 2, "schedulers": [], "optimizers": []}, "is a training state"),
        ({"epoch": 1}, "'epoch' is no tensor of floats"),
        ({"flowUpsamplerNet.layers.0.actnorm.bias": torch.zeros(1, 1, 1, 1)}, "a flow without couplings"),
        ({"flowUpsamplerNet.layers.3.bspline.x.weight": torch.zeros(1)}, "a B-spline coupling"),
        ([torch.zeros(1)], "but a list"),
        ({}, "no table of named tensors"),
    ],
)
def test_other_content(fault, content, said):
    assert said in fault(content)


def test_missing_files(tmp_path):
    with pytest.raises(CheckpointError, match=r"x\.pth does not exist"):
        load_upstream(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        load_upstream(tmp_path)


def test_options_of_another_family(fault, weights):
    line = fault(weights["llflow"], TINY["srflow_x4"].options())
    assert "is of SRFlowNet, but" in line
    assert "holds weights of LLFlow" in line
    line = fault(weights["srflow_x4"], TINY["ncsr_x4"].options())
    assert "is of NCSRNet" in line
    assert "weights of SRFlow;" in line


def test_options_of_another_scale(fault, weights):
    line = fault(weights["srflow_x4"], TINY["srflow_x8"].options())
    assert "is of scale 8, but" in line
    assert "is a network of scale 4; give the options file for 4x" in line


def test_options_of_another_size(fault, weights):
    tree = TINY["srflow_x4"].options()
    tree["network_G"]["nb"] = 23
    tree["network_G"]["flow"]["K"] = 16
    assert "nb 4 instead of 23, K 2 instead of 16" in fault(weights["srflow_x4"], tree)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("RRDB.RRDB_trunk.2.RDB1.conv3.bias"), "1 missing (RRDB.RRDB_trunk.2.RDB1.conv3.bias)"),
        (lambda w: w.pop("RRDB.conv_first.weight"), "'RRDB.conv_first.weight' is missing"),
        (
            lambda w: [w.pop(key) for key in list(w) if key.startswith("flowUpsamplerNet.layers.4.")],
            "21 missing (flowUpsamplerNet.layers.4.actnorm.bias, flowUpsamplerNet.layers.4.actnorm.logs, "
            "flowUpsamplerNet.layers.4.invconv.weight, ...); likely partly saved or cut off, most of all at "
            "flowUpsamplerNet.layers.4",
        ),
        (
            lambda w: w.update({"flowUpsamplerNet.layers.3.affine.fCurve.0.weight": torch.zeros(1)}),
            "1 unknown (flowUpsamplerNet.layers.3.affine.fCurve.0.weight); likely trained with le_curve",
        ),
        (
            lambda w: w.update({"RRDB.HRconv.weight": torch.zeros(64, 32, 3, 3)}),
            "1 of another shape (RRDB.HRconv.weight (64, 32, 3, 3) instead of (64, 64, 3, 3))",
        ),
    ],
)
def test_key_by_key(fault, weights, change, said):
    tensors = dict(weights["srflow_x4"])
    change(tensors)
    assert said in fault(tensors, TINY["srflow_x4"].options())


def test_a_transpose_that_is_none(fault, weights):
    name = "flowUpsamplerNet.layers.1.invconv.weight_transpose"
    tensors = weights["robustnf_spline_fixed_x8"] | {name: torch.zeros(12, 12, 1, 1)}
    assert f"'{name}' is not the transpose" in fault(tensors, TINY["robustnf_spline_fixed_x8"].options())


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("le_curve=true", "'le_curve' is True, a network that steadyflow does not have; it must be False"),
        ("network_G.flow.levelConditional={n_channels: 3}", "it must be left out"),
        ("network_G.flow.K=many", "'network_G.flow.K' is 'many', which must be of type int"),
        ("network_G.flow.S=3", "must be a list of whole numbers"),
        ("network_G.flow.couplings=3", "did you mean 'network_G.flow.coupling'"),
        ("scale", "is not KEY=VALUE"),
        ("scale=[", "not valid YAML"),
        ("network_G.flow.stackRRDB.blocks=[0, 1, 2, 9]", "no possible network: encoder: taps"),
    ],
)
def test_impossible_options(fault, weights, override, said):
    assert said in fault(weights["srflow_x4"], TINY["srflow_x4"].options(), [override])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1: not a YAML file of options"),
        ("just text", "'network_G' is missing"),
        ("scale: four\nnetwork_G: {}", "'scale' is 'four', which must be of type int"),
        ("network_G: !!python/object/apply:collections.OrderedDict [[1]]", "not a YAML file of options"),
    ],
)
def test_unreadable_options(fault, weights, text, said):
    assert said in fault(weights["srflow_x4"], text)


def test_the_command_says_it_in_one_line_and_writes_nothing(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"no checkpoint")
    command = [sys.executable, "-m", "pipeline.cli", "import", "--weights", "x.pth", "--out", "model"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: x.pth is cut off, damaged or no checkpoint of torch (13 bytes); download it again"
    ]
    assert not (tmp_path / "model").exists()
