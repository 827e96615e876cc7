"""The champion: what the command registers, what it refuses, and that the served model restores as ``sample`` does."""

import base64
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_flow import small_flow
from smoke_project import ROOT
from tracking_store import DEAD, TASK, all_runs

from pipeline import cli
from pipeline.inference.restore import restore_file
from pipeline.layout import variant_folder
from pipeline.model_folder import save_model
from pipeline.tracking.client import import_mlflow

pytestmark = pytest.mark.filterwarnings("ignore:.*input example")  # the signature is written by hand

NAME = "cat one.png"
ASKED = {"seed": 7, "temperature": 0.7, "draws": 2}


@pytest.fixture
def project(root, monkeypatch):
    """Return a project with a trained model of one variant, in which the test stands."""
    shutil.copy(ROOT / "params.yaml", root)
    train(root)
    Image.linear_gradient("L").resize((8, 6)).convert("RGB").save(root / NAME)
    monkeypatch.chdir(root)
    monkeypatch.setattr("pipeline.console.quiet_libraries", lambda: None)  # it would silence later tests
    return root


def train(root, **changes):
    """Write the model folder that a training with the key k1 would; return it."""
    flow = small_flow()
    if changes.pop("longer", False):
        with torch.no_grad():
            next(flow.network.parameters()).add_(1.0)
    config = dataclasses.replace(flow.config, temperature=0.9, **{"run_key": "k1", **changes})
    return save_model(variant_folder(root, TASK, "affine", 10) / "model", flow.network, config)


@pytest.fixture
def champion(monkeypatch, capsys):
    """Return the command: arguments -> (exit code, what it said, what it complained of)."""

    def call(*arguments):
        chosen = arguments or ("--task", TASK, "--variant", "affine")
        monkeypatch.setattr(sys, "argv", ["steadyflow", "champion", *chosen])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return call


def picture(root):
    return base64.b64encode((root / NAME).read_bytes()).decode()


def sampled(root):
    """Return the content of the files that ``steadyflow sample`` writes."""
    model = variant_folder(root, TASK, "affine", 10) / "model"
    written = restore_file(model, root / NAME, root / "sampled", ASKED["draws"], ASKED["temperature"], ASKED["seed"])
    return {path.name: path.read_bytes() for path in written}


def pictures_of(records):
    return {one["name"]: base64.b64decode(one["image"]) for one in records}


def version_of(root):
    client, _ = all_runs(root)
    return client, client.get_model_version_by_alias(TASK, "champion")


def test_it_is_a_model_folder_and_the_name_of_a_module(project, champion):
    assert champion()[0] == 0
    client, version = version_of(project)
    (run,) = all_runs(project)[1]
    assert version.run_id == run.info.run_id and run.info.status == "FINISHED"
    path = Path(import_mlflow().artifacts.download_artifacts(client.get_model_version_download_uri(TASK, "1")))
    files = {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    trained = variant_folder(project, TASK, "affine", 10) / "model"
    assert files["weights.safetensors"] == (trained / "weights.safetensors").read_bytes()
    described = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"}
    assert set(files) == {"weights.safetensors", "config.json"} | described
    assert "loader_module: pipeline.inference.served" in files["MLmodel"].decode()


def test_equal_weights_stay_one_version_and_others_are_the_next(project, champion):
    for _ in range(2):
        assert "(version 1)" in champion()[1]
    train(project, longer=True)
    assert "(version 2)" in champion()[1]
    assert version_of(project)[1].version == 2
    train(project)
    assert "(version 1)" in champion()[1]  # back to the first
    assert version_of(project)[1].version == 1


def loaded(project, monkeypatch):
    """Return mlflow and the champion, loaded as its server does; MLflow would leave the address to later tests."""
    mlflow, address = import_mlflow(), f"sqlite:///{project / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return mlflow, mlflow.pyfunc.load_model(f"models:/{TASK}@champion")


def test_it_restores_as_sample_does(project, champion, monkeypatch):
    champion()
    _, model = loaded(project, monkeypatch)
    row = {"image": picture(project), "name": NAME}
    assert pictures_of(model.predict([row], params=ASKED)) == sampled(project)
    assert len(model.predict([row])) == 4 and len(model.predict([row], params={"temperature": 0.0})) == 1


def test_a_wrong_request_is_answered_in_a_line(project, champion, monkeypatch):
    champion()
    mlflow, model = loaded(project, monkeypatch)
    good = picture(project)
    for image, params, said in (
        ("???", {}, "is no base64"),
        (base64.b64encode(b"hello").decode(), {}, "not a picture"),
        (good, {"draws": 0}, "draws must be 1 or more"),
        (good, {"temperature": -1.0}, "temperature 0 or more"),
        (good, {"temperature": float("nan")}, "temperature 0 or more"),
    ):
        with pytest.raises(mlflow.MlflowException) as raised:
            model.predict([{"image": image, "name": "../a\x1b.png"}], params=params)
        text = raised.value.message
        assert said in text and len(text.splitlines()) == 1 and text.isprintable() and "../" not in text
        assert raised.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--task", "df2k_4", "--variant", "affine"), "did you mean 'df2k_x4'"),
        (("--task", TASK, "--variant", "afine"), "did you mean 'affine'"),
        (("--task", "../x\x1b[2J' OR 1=1", "--variant", "affine"), "unknown task"),
        (("--task", TASK, "--variant", "affine", "--seed", "11"), "seed 11 is none of"),
        (("--task", TASK, "--variant", "bounded"), "bounded/model is no model folder"),
        (("--task", TASK), "--variant"),
    ],
)
def test_what_is_not_there_is_named_in_a_line(project, champion, arguments, said):
    assert said in one_line(champion(*arguments))
    assert all_runs(project)[1] == []


def one_line(left):
    code, out, complaint = left
    assert code == 2 and out == ""
    (line,) = complaint.splitlines()
    assert line.startswith("error: ") and line.isprintable()
    return line


def test_a_model_that_has_no_run_is_refused(project, champion):
    train(project, run_key="")
    assert "has no run in MLflow" in one_line(champion())


def test_another_models_folder_is_refused(project, champion):
    shutil.copytree(
        variant_folder(project, TASK, "affine", 10) / "model", variant_folder(project, TASK, "bounded", 10) / "model"
    )
    assert "holds variant 'affine'" in one_line(champion("--task", TASK, "--variant", "bounded"))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (DEAD, "does not answer"),
        ("file:///runs", "no place to track runs"),
        ("sqlite:///params.yaml", "cannot be used as a data base"),
    ],
)
def test_a_store_that_cannot_be_used_is_named_in_a_line(project, champion, monkeypatch, uri, said):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert said in one_line(champion())


def test_a_store_that_is_gone_is_made_anew(project, champion):
    (project / "mlflow.db").unlink()
    assert champion()[0] == 0
    assert version_of(project)[1].version == 1


@pytest.mark.slow
def test_mlflows_server_restores_as_sample_does(project, champion):
    """Through HTTP, as docs/mlflow.md says."""
    champion()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = f"http://127.0.0.1:{port}"
    bin_folder = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow.db'}",
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{TASK}@champion"]
    with (project / "serve.log").open("w") as log:
        serving = subprocess.Popen(
            [*command, "--env-manager", "local", "--port", str(port)], env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(serving, f"{server}/health", project / "serve.log")
        row = {"image": picture(project), "name": NAME}
        status, answer = ask(server, {"dataframe_records": [row], "params": ASKED})
        assert status == 200 and pictures_of(answer["predictions"]) == sampled(project)
        status, answer = ask(server, {"dataframe_records": [{"image": "???"}]})
        assert status == 400 and answer["message"].startswith("the image of 'picture.png' is no base64")
        assert "Traceback" not in json.dumps(answer)
    finally:
        serving.terminate()
        serving.wait(30)


def wait_for(serving, address, log):
    deadline = time.monotonic() + 300
    while True:
        assert serving.poll() is None and time.monotonic() < deadline, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)


def ask(server, body):
    request = urllib.request.Request(
        f"{server}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
