"""Where runs are kept and shown: addresses, the data base, the page."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest
from command_line import ROOT
from tracking_store import only_run, open_affine

from pipeline.errors import TrackingError
from pipeline.tracking.client import open_client
from pipeline.tracking.store import tracking_uri
from pipeline.tracking.ui import is_loopback, serve_ui, ui_command


def test_a_moved_checkout_keeps_its_artifacts(root, tmp_path_factory):
    (root / "note.txt").write_text("hello")
    with open_affine(root) as run:
        run.artifact(root / "note.txt")
    moved = tmp_path_factory.mktemp("moved") / "check out"
    root.rename(moved)
    client, found = only_run(moved)
    copy = client.download_artifacts(found.info.run_id, "note.txt", str(moved))
    assert Path(copy).read_text() == "hello"
    moved.rename(root)


def test_tracking_uri_follows_params_environment_and_dvc_root(tmp_path, monkeypatch):
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "parent"))
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/parent/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert tracking_uri(tmp_path) == "http://tracker:5000"
    assert tracking_uri(tmp_path, "postgresql+psycopg://db/x") == "postgresql+psycopg://db/x"


@pytest.mark.parametrize("uri", ["htp://x", "mlruns", "file:///tmp/mlruns"])
def test_an_unusable_tracking_uri_is_one_clear_line(root, uri):
    with (
        pytest.raises(TrackingError, match="allowed: auto, sqlite://") as caught,
        open_affine(root, uri=uri),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_an_occupied_port_is_one_clear_line(root):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TrackingError, match=f"127.0.0.1:{port}.*steadyflow ui --port") as caught:
            serve_ui(root, port=port)
    assert "\n" not in str(caught.value)


def test_the_page_listens_on_this_machine_alone(root):
    command = ui_command(f"sqlite:///{root}/mlflow.db", "127.0.0.1", 5000)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert f"sqlite:///{root}/mlflow.db" in command


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_host_is_refused(root, host):
    with pytest.raises(TrackingError, match="--host is empty, which would listen on every address"):
        serve_ui(root, host, 5000)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("gpu1", False)]
)
def test_mlflow_is_told_by_which_names_it_may_be_called(host, loopback, monkeypatch):
    monkeypatch.delenv("MLFLOW_SERVER_ALLOWED_HOSTS", raising=False)
    command = ui_command("postgresql://db/x", host, 5001)
    assert is_loopback(host) is loopback
    assert ("--allowed-hosts" in command) is not loopback
    if not loopback:
        from mlflow.server.security_utils import is_allowed_host_header

        allowed = command[command.index("--allowed-hosts") + 1].split(",")
        called = socket.gethostname() if host == "0.0.0.0" else host
        assert all(is_allowed_host_header(allowed, name) for name in (called, f"{called}:5001", "127.0.0.1:5001"))
        assert not is_allowed_host_header(allowed, "rebound.example:5001")


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_the_command(tmp_path, signum):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shutil.copy(ROOT / "params.yaml", tmp_path)
    command = [sys.executable, "-m", "pipeline.cli", "ui", "--host", "0.0.0.0", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ui:
        address = ui.stdout.readline().decode()
        assert f"http://127.0.0.1:{port}" in address
        named = urllib.request.Request(f"http://127.0.0.1:{port}/version", headers={"Host": socket.gethostname()})
        with urllib.request.urlopen(named, timeout=10) as answer:
            assert answer.status == 200
        ui.send_signal(signum)
        ui.wait(30)
        assert b"can read, change and delete all runs" in ui.stderr.read()
    deadline = time.monotonic() + 20
    while listening(port) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not listening(port)


def test_foreign_artifact_stores_are_left_alone(root):
    import sqlite3

    with sqlite3.connect(root / "mlflow.db") as store:
        store.execute("UPDATE experiments SET artifact_location = 's3://bucket/x' WHERE name = 'steadyflow'")
    store.close()
    client, _ = open_client(tracking_uri(root))
    assert client.get_experiment_by_name("steadyflow").artifact_location == "s3://bucket/x"


def test_two_processes_make_the_first_data_base_together(tmp_path):
    script = f"""
        from pathlib import Path
        from pipeline.tracking.identity import training_identity
        from pipeline.tracking.run import open_run
        with open_run(Path({str(tmp_path)!r}), training_identity("t", "v", 10, "k"), "auto", {{}}) as run:
            run.flush()
            assert run.run_id
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0] and errors == ["", ""]
    only_run(tmp_path)
