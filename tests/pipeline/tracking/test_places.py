"""Where runs are kept and shown: addresses, the data base, the page."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tracking_store import only_run, open_affine

from pipeline.errors import TrackingError
from pipeline.tracking.client import open_client
from pipeline.tracking.store import tracking_uri
from pipeline.tracking.ui import serve_ui, ui_command


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
