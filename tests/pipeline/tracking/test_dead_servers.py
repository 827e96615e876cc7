"""Servers that are down, hang or are no servers: nobody waits for them, and nothing is lost."""

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock
from tracking_store import DEAD, artifacts, only_run, open_affine, points

from pipeline.tracking import delivery, store


def test_a_dead_server_costs_seconds_and_one_warning_and_loses_nothing(root, capsys):
    picture = root / "curve.csv"
    picture.write_text("step,nll\n")
    began = time.monotonic()
    with open_affine(root, uri=DEAD.replace("//", "//user:secret@")) as run:
        for step in range(200):
            run.metrics({"train/nll": float(step)}, step=step)
        run.artifact(picture)
        assert run.run_id is None
    assert time.monotonic() - began < 20
    warning = capsys.readouterr().err
    assert warning.count("warning") == 1 and "nothing is lost" in warning and "secret" not in warning
    with open_affine(root, stage="evaluate"):  # the sqlite store has seen none of it yet
        pass
    client, found = only_run(root)
    assert len(points(client, found, "train/nll")) == 200
    assert artifacts(client, found) == ["curve.csv"]


def test_a_server_that_fails_in_between_gets_the_rest_later(root, monkeypatch):
    with open_affine(root) as run:
        run.metrics({"train/nll": 3.0}, step=1)
        run.flush()

        def refuse(*_):
            raise ConnectionError("gone")

        monkeypatch.setattr(run._sender._remote, "_client", type("Gone", (), {"__getattr__": refuse})())
        run.metrics({"train/nll": 2.0}, step=2)
        run.flush()
        assert run.run_id is None
        monkeypatch.setattr(run._sender._server, "retry_at", 0.0)
        run.metrics({"train/nll": 1.0}, step=3)
    client, found = only_run(root)
    assert points(client, found, "train/nll") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert found.info.status == "FINISHED"


def test_a_delayed_file_that_changed_since_is_left_out(root, capsys):
    weights = root / "weights"
    weights.write_text("first")
    with open_affine(root, uri=DEAD) as run:
        run.artifact(weights)
    weights.write_text("those of another training")
    with open_affine(root):
        pass
    client, found = only_run(root)
    assert artifacts(client, found) == []
    assert "changed since" in capsys.readouterr().err


@pytest.fixture
def silent_server():
    """A server that accepts every connection and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def log_steps(run, steps=50):
    """Return the seconds that logging takes whoever trains."""
    began = time.monotonic()
    for step in range(steps):
        run.metrics({"train/nll": float(step)}, step=step)
    return time.monotonic() - began


def test_a_server_that_never_answers_costs_a_training_no_time(root, silent_server, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(delivery, "_PATIENCE_SECONDS", 1.0)
    with open_affine(root, uri=silent_server) as run:
        time.sleep(0.5)  # by now it waits for the answer
        assert log_steps(run) < 1.0
        left = time.monotonic()
    assert time.monotonic() - left < 5
    assert capsys.readouterr().err.count("warning") == 1
    monkeypatch.setattr(delivery, "_PATIENCE_SECONDS", 60.0)
    with open_affine(root, stage="evaluate"):  # waits until the thread that asked in vain has let go of the journal
        pass
    client, found = only_run(root)
    assert len(points(client, found, "train/nll")) == 50


def test_a_dead_server_is_tried_once_for_all_runs_of_a_process(root, silent_server, monkeypatch, capsys):
    monkeypatch.setattr(delivery, "_PATIENCE_SECONDS", 1.0)
    began = time.monotonic()
    for seed in range(10):
        with open_affine(root, uri=silent_server, seed=seed, stage="report"):
            pass
    assert time.monotonic() - began < 8
    assert capsys.readouterr().err.count("warning") == 1


def test_steps_that_follow_each_other_quickly_are_sent_together(root, monkeypatch):
    sent = []
    monkeypatch.setattr(delivery, "connect", lambda *_: SimpleNamespace(run_id="r", deliver=sent.append))
    with open_affine(root) as run:
        for step in range(20):
            run.metrics({"train/nll": float(step)}, step=step)
            time.sleep(0.02)
    assert len(sent) <= 3  # at first, perhaps once in between, and at last


def test_a_server_that_goes_on_failing_is_named_once(root, monkeypatch, capsys):
    with open_affine(root, uri=DEAD) as run:
        for _ in range(3):
            monkeypatch.setattr(run._sender._server, "retry_at", 0.0)
            run.flush()
    assert capsys.readouterr().err.count("warning") == 1


@pytest.mark.parametrize("name", ["mlflow.lock", "tracking.lock"])
def test_a_lock_that_a_live_process_holds_costs_a_training_seconds_at_its_end(root, name, monkeypatch, capsys):
    with open_affine(root):
        pass
    (there,) = (root / ".runs").rglob(name)
    delivery._server.cache_clear()
    held, leave = threading.Event(), threading.Event()

    def hold():
        with FileLock(there):
            held.set()
            leave.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    with open_affine(root) as run:
        assert log_steps(run) < 1.0
        left = time.monotonic()
    assert time.monotonic() - left < 7.0
    leave.set()
    holder.join()
    said = capsys.readouterr().err
    assert said.count("warning") == 1 and name in said


def test_a_data_base_that_another_process_has_locked_costs_a_training_no_time(root, capsys):
    holder = sqlite3.connect(root / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with open_affine(root) as run:
        assert log_steps(run) < 1.0
        left = time.monotonic()
    assert time.monotonic() - left < 15
    holder.rollback()
    holder.close()
    assert "locked" in capsys.readouterr().err


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.write_text("x" * 99)]
)
def test_what_is_no_data_base_is_told_at_once_and_stops_no_training(tmp_path, make, capsys):
    make(tmp_path / "mlflow.db")
    began = time.monotonic()
    with open_affine(tmp_path) as run:
        log_steps(run)
    assert time.monotonic() - began < 15
    said = capsys.readouterr().err
    assert said.count("warning") == 1 and "cannot be used as a data base" in said and "nothing is lost" in said


def test_a_folder_in_the_place_of_a_lock_stops_no_training(root, capsys):
    (root / ".runs" / "mlflow.lock").mkdir(parents=True)
    with open_affine(root) as run:
        log_steps(run)
    assert capsys.readouterr().err.count("warning") == 1


def test_a_data_base_whose_making_was_killed_is_made_anew(tmp_path, capsys):
    script = f"from pipeline.tracking.client import open_client; open_client('sqlite:///{tmp_path}/mlflow.db')"
    making = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    while not any(path.stat().st_size > 100_000 for path in tmp_path.rglob("mlflow.db*")):  # all tables take 950 kB
        assert making.poll() is None
        time.sleep(0.01)
    making.kill()
    making.wait()
    with open_affine(tmp_path) as run:
        log_steps(run)
    _, found = only_run(tmp_path)
    assert found.info.status == "FINISHED" and "warning" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("mlflow.db*.new")] == []


def test_a_data_base_that_is_locked_in_between_costs_the_end_of_a_training_seconds(root, monkeypatch, capsys):
    monkeypatch.setattr(store, "_BUSY_SECONDS", 1.0)
    with open_affine(root) as run:
        run.metrics({"train/nll": 2.0}, step=1)
        run.flush()
        holder = sqlite3.connect(root / "mlflow.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")  # reading is allowed, writing is not
        run.metrics({"train/nll": 1.0}, step=2)
        began = time.monotonic()
    assert time.monotonic() - began < 8  # MLflow itself tries for 20 s
    holder.rollback()
    said = capsys.readouterr().err
    assert said.count("warning") == 1 and "Traceback" not in said and "database is locked" in said
    monkeypatch.setattr(run._sender._server, "retry_at", 0.0)
    with open_affine(root):
        pass
    client, found = only_run(root)
    assert points(client, found, "train/nll") == [(1, 2.0), (2, 1.0)]
