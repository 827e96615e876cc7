"""A model folder: what was saved is loaded, and what somebody else wrote or damaged is one line."""

import json
import os

import pytest
import safetensors.torch
import torch
from small_flow import AFFINE, ENCODER, NETWORK, small_flow

from pipeline.errors import CheckpointError
from pipeline.model_folder import load_flow, save_model, verify_model


@pytest.fixture(scope="module")
def flow():
    return small_flow()


@pytest.fixture
def folder(tmp_path, flow):
    return save_model(tmp_path / "model", flow.network, flow.config)


def change(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def fault(folder):
    with pytest.raises(CheckpointError) as caught:
        load_flow(folder)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 700
    return line


def test_what_was_saved_is_loaded(folder, flow):
    loaded = load_flow(folder)
    assert loaded.config == flow.config
    for name, tensor in flow.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor)
    assert verify_model(folder) == sum(path.stat().st_size for path in folder.iterdir())


def test_the_hash_in_the_configuration_is_of_the_file(folder):
    import hashlib

    said = json.loads((folder / "config.json").read_text())["weights_sha256"]
    assert said == hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


def test_a_flipped_bit_in_the_weights_is_told(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x40
    path.write_bytes(content)
    safetensors.torch.load_file(path)  # the format itself sees nothing
    assert "SHA-256 differs" in fault(folder)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        verify_model(folder)


def test_a_folder_from_before_there_was_a_hash_is_read(folder):
    change(folder, weights_sha256="")
    load_flow(folder)
    content = json.loads((folder / "config.json").read_text())
    del content["weights_sha256"]
    (folder / "config.json").write_text(json.dumps(content))
    load_flow(folder)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temperature": -1.0}, "temperature: input should be greater than or equal to 0"),
        ({"temperature": float("nan")}, "NaN is no number of JSON"),
        ({"temperature": float("inf")}, "Infinity is no number of JSON"),
        ({"temperature": "0.9"}, "temperature: input should be a valid number (got '0.9')"),
        ({"temperature": None}, "temperature"),
        ({"kind": "super_resolutio"}, "model kind 'super_resolutio' does not exist; did you mean 'super_resolution'?"),
        ({"kind": ["x"]}, "kind: input should be a valid string"),
        ({"scale": "4"}, "scale: input should be a valid integer"),
        ({"scale": 3}, "tells no possible network"),
        ({"scale": 10**30}, "scale"),
        ({"scale": True}, "scale"),
        ({"transform": {"name": "affin", "options": {}}}, "transform 'affin' does not exist; did you mean 'affine'?"),
        ({"transform": {"name": "affine"}}, "transform.options is missing"),
        ({"transform": {"name": "affine", "options": {"epz": 0.1}}}, "unexpected keyword argument 'epz'"),
        ({"transform": {"name": "affine", "options": {"eps": 0.0}}}, "eps must be positive"),
        ({"transform": AFFINE | {"more": 1}}, "transform.more is unknown"),
        ({"transform": []}, "transform"),
        ({"caps": {"prior": 1.0}}, "unexpected keyword argument 'prior'"),
        ({"caps": {"singular_value": 0.5}}, "singular_value must be 1 or more"),
        ({"network": NETWORK | {"levels": 0}}, "network.levels"),
        ({"network": NETWORK | {"levels": 7}}, "tells no possible network: scale 4 goes with"),
        ({"network": NETWORK | {"steps": 10**7}}, "network.steps"),
        ({"network": NETWORK | {"levels": 8, "steps": 256}}, "are more than 512 steps"),
        ({"network": NETWORK | {"hidden": 5}}, "another network"),
        ({"network": NETWORK | {"hidden": 1.5}}, "network.hidden"),
        ({"network": NETWORK | {"noise_steps": [0, 1, 1]}}, "tells no possible network"),
        ({"network": NETWORK | {"noise_steps": "01"}}, "network.noise_steps"),
        (
            {"network": NETWORK | {"permutation": "learnt"}},
            "permutation 'learnt' does not exist; did you mean",
        ),
        ({"network": NETWORK | {"encoder": ENCODER | {"taps": [5]}}}, "taps [5] must lie in 0..0"),
        ({"network": NETWORK | {"encoder": ENCODER | {"channels": 4096, "growth": 4096}}}, "another network"),
        ({"network": NETWORK | {"encoder": None}}, "network.encoder"),
        ({"network": NETWORK | {"colour": 1}}, "network.colour is unknown"),
        ({"network": [1] * 10_000}, "network"),
        ({"colour\x1b[2J\n": 1}, r"colour\x1b[2j\n is unknown".lower()),
        ({"step": -1}, "step"),
        ({"weights_sha256": "no"}, "weights_sha256"),
        ({"format": 2}, "of another format than 1"),
    ],
    ids=range(37),
)
def test_an_edited_configuration_is_one_line(folder, fields, said):
    change(folder, **fields)
    assert said in fault(folder).replace("2J", "2j")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"format": 1}', "[" * 100_000, "\x00", '"format"'])
def test_a_configuration_that_is_none_is_one_line(folder, text):
    (folder / "config.json").write_text(text)
    assert "config.json" in fault(folder)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_what_is_no_file_is_one_line(folder, name):
    path = folder / name
    path.unlink()
    assert "missing" in fault(folder)
    os.mkfifo(path)
    assert "it is a pipe, a socket or a device, not a file" in fault(folder)
    path.unlink()
    path.mkdir()
    assert "it is a folder, not a file" in fault(folder)
    path.rmdir()
    path.symlink_to(path)
    assert "a link that leads in a circle" in fault(folder)


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "model").write_text("no folder")
    assert "model" in fault(tmp_path / "model")
