"""Tracking against a real MLflow store: resume, no duplicates, servers that are down, status, superseding."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pipeline.config import Params, RuntimeConfig
from pipeline.errors import Interrupted, TrackingError
from pipeline.tracking import run as tracking
from pipeline.tracking.journal import Journal
from pipeline.tracking.run import open_run
from pipeline.tracking.store import tracking_uri
from pipeline.tracking.ui import serve_ui, ui_command

BARE = {"profile": "smoke", "seeds": [1], "tasks": {}, "variants": {}, "datasets": {}, "profiles": {}}
PARAMS = Params.model_validate(BARE)
DEAD_PORT = 9  # discard: nothing listens there


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """Migrating a new data base takes seconds: once for all tests."""
    root = tmp_path_factory.mktemp("template")
    tracking._client(tracking_uri(root))
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path, template):
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path


def open_affine(root, key="k1", params=PARAMS, variant="affine", stage="train", seed=10):
    return open_run(root, "df2k_x4", variant, seed, key, params, stage)


def with_uri(uri):
    return PARAMS.model_copy(update={"runtime": RuntimeConfig(tracking_uri=uri)})


def all_runs(root):
    client, experiment = tracking._client(tracking_uri(root))
    return client, client.search_runs([experiment])


def only_run(root):
    client, runs = all_runs(root)
    assert len(runs) == 1
    return client, runs[0]


def points(client, run, name):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def artifacts(client, run, folder=None):
    return sorted(item.path for item in client.list_artifacts(run.info.run_id, folder))


def table(client, run, name, folder):
    """Return a logged table as rows, from pandas' "split" layout."""
    content = json.loads(
        Path(client.download_artifacts(run.info.run_id, f"tables/{name}.json", str(folder))).read_text()
    )
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def test_everything_arrives_under_names_that_later_stages_find(root):
    prepared = root / "data" / "prepared" / "df2k_x4"
    prepared.mkdir(parents=True)
    (prepared / "manifest.json").write_text(json.dumps({"demo": True}))
    model = root / "artifacts" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    with open_affine(root) as run:
        run.params({"training": {"steps": 4, "betas": (0.9, 0.999)}, "seed": 10})
        run.metrics({"train/nll": 1.5, "train/missing": None}, step=1)
        run.artifact(model)
        run.artifact(model / "config.json", "resolved")
        run.note({"kind": "flow"})
        assert run.run_id
    client, found = only_run(root)
    assert found.info.status == "FINISHED" and found.info.run_name == "df2k_x4-affine-10"
    assert found.data.params == {"training.steps": "4", "training.betas": "(0.9, 0.999)", "seed": "10"}
    assert found.data.metrics == {"train/nll": 1.5}
    tags = found.data.tags
    assert (tags["steadyflow.run_key"], tags["steadyflow.profile"], tags["kind"]) == ("k1", "smoke", "flow")
    assert len(tags["steadyflow.data_sha256"]) == 64 and tags["steadyflow.demo_pictures"] == "true"
    assert artifacts(client, found, "model") == ["model/config.json"]
    assert artifacts(client, found, "resolved") == ["resolved/config.json"]
    assert found.info.artifact_uri.startswith((root / "mlartifacts").as_uri())


def test_a_later_stage_reopens_the_run_and_repeats_nothing(root):
    with open_affine(root) as run:
        run.metrics({"train/nll": 3.0, "train/lr": 0.1}, step=10)
        run.metrics({"train/nll": 2.0}, step=20)
        first = run.run_id
    with open_affine(root) as run:
        run.metrics({"train/nll": 9.0, "train/lr": 0.2}, step=20)  # nll at step 20 is logged; lr is not
        run.metrics({"train/nll": 1.0}, step=30)
    with open_affine(root, stage="evaluate") as run:
        run.metrics({"sr/psnr": 30.0})
        run.metrics({"sr/psnr": 30.0})
        run.metrics({"sr/psnr": 31.0, "train/lr": 0.3})
        assert run.run_id == first
    client, found = only_run(root)
    assert points(client, found, "train/nll") == [(10, 3.0), (20, 2.0), (30, 1.0)]
    assert points(client, found, "train/lr") == [(10, 0.1), (20, 0.2), (20, 0.3)]  # the last was without a step
    assert sorted(points(client, found, "sr/psnr")) == [(0, 30.0), (0, 31.0)]
    assert found.data.tags["steadyflow.dvc_stage"] == "evaluate"


def test_a_lost_acknowledgement_duplicates_nothing(root):
    with open_affine(root) as run:
        run.metrics({"train/nll": 3.0}, step=10)
        run.table("per_picture", [{"picture": "a", "psnr": 30.0}])
    (root / ".runs" / "df2k_x4-affine-k1" / "tracking_sent.json").unlink()
    with open_affine(root):
        pass
    client, found = only_run(root)
    assert points(client, found, "train/nll") == [(10, 3.0)]
    assert table(client, found, "per_picture", root) == [{"picture": "a", "psnr": 30.0}]


def test_a_changed_parameter_becomes_a_tag(root):
    with open_affine(root) as run:
        run.params({"draws": 4})
    with open_affine(root) as run:
        run.params({"draws": 10, "seed": 1})
    _, found = only_run(root)
    assert found.data.params == {"draws": "4", "seed": "1"} and found.data.tags["changed.draws"] == "10"


def test_values_that_json_and_mlflow_dislike(root):
    with open_affine(root) as run:
        run.metrics({"stress/board 2:3": float("nan"), "ok": 1.0}, step=1)
        run.table("per/../picture", [{"picture": 'a"b', "psnr": float("inf")}, {"picture": "c", "extra": None}])
    client, found = only_run(root)
    assert str(found.data.metrics["stress/board 2_3"]) == "nan" and found.data.metrics["ok"] == 1.0
    assert artifacts(client, found, "tables/per") == ["tables/per/picture.json"]


def test_a_table_is_replaced_and_an_equal_image_is_logged_once(root):
    from PIL import Image

    picture = root / "grid.png"
    for colour, score in (("red", 1.0), ("red", 2.0), ("blue", 3.0)):
        Image.new("RGB", (8, 8), colour).save(picture)
        with open_affine(root) as run:
            run.table("per_picture", [{"picture": "a", "psnr": score}])
            run.image(picture, "samples/a")
    client, found = only_run(root)
    assert table(client, found, "per_picture", root) == [{"picture": "a", "psnr": 3.0}]
    images = [name for name in artifacts(client, found, "images") if name.endswith(".png")]
    assert [name.split("+")[0:3] for name in images] == [
        ["images/samples~a", "step", "0"],
        ["images/samples~a", "step", "1"],
    ]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Interrupted, SystemExit])
def test_a_run_left_by_an_exception_is_failed_and_resumed(root, error):
    with pytest.raises(error), open_affine(root) as run:
        run.metrics({"train/nll": 3.0}, step=1)
        raise error("stop")
    client, found = only_run(root)
    assert found.info.status == "FAILED" and points(client, found, "train/nll") == [(1, 3.0)]
    with open_affine(root):
        _, found = only_run(root)
        assert found.info.status == "RUNNING"
    _, found = only_run(root)
    assert found.info.status == "FINISHED"


def test_a_killed_run_stays_running_and_is_resumed(root):
    script = f"""
        import os, signal
        from pathlib import Path
        from pipeline.config import Params
        from pipeline.tracking.run import open_run
        params = Params.model_validate({BARE!r})
        with open_run(Path({str(root)!r}), "df2k_x4", "affine", 10, "k1", params, "train") as run:
            run.metrics({{"train/nll": 3.0}}, step=1)
            run.flush()
            run.metrics({{"train/nll": 2.0}}, step=2)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    client, found = only_run(root)
    assert found.info.status == "RUNNING"
    with open_affine(root) as run:
        run.metrics({"train/nll": 2.5}, step=2)
        run.metrics({"train/nll": 1.0}, step=3)
    client, found = only_run(root)
    assert points(client, found, "train/nll") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert found.info.status == "FINISHED"


def test_a_retrained_variant_supersedes_its_older_runs_alone(root):
    for key, variant in (("k1", "affine"), ("k1", "bounded"), ("k2", "affine")):
        with open_affine(root, key, variant=variant):
            pass

    def superseded():
        _, runs = all_runs(root)
        return {
            (run.data.tags["steadyflow.variant"], run.data.tags["steadyflow.run_key"])
            for run in runs
            if run.data.tags["steadyflow.superseded"] == "true"
        }

    assert superseded() == {("affine", "k1")}
    with open_affine(root, "k3", seed=11):  # another seed stands beside
        pass
    assert superseded() == {("affine", "k1")}
    with open_affine(root, "k1", stage="report"):  # the older parameters are in force again
        pass
    assert superseded() == {("affine", "k2")}
    _, tasks = tracking.current_runs(root)
    assert len(tasks["df2k_x4"]) == 3


def test_a_dead_server_costs_seconds_and_one_warning_and_loses_nothing(root, capsys):
    picture = root / "curve.csv"
    picture.write_text("step,nll\n")
    began = time.monotonic()
    with open_affine(root, params=with_uri(f"http://user:secret@127.0.0.1:{DEAD_PORT}")) as run:
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

        monkeypatch.setattr(run._remote, "_client", type("Gone", (), {"__getattr__": refuse})())
        run.metrics({"train/nll": 2.0}, step=2)
        run.flush()
        assert run.run_id is None
        monkeypatch.setattr(run, "_retry_at", 0.0)
        run.metrics({"train/nll": 1.0}, step=3)
    client, found = only_run(root)
    assert points(client, found, "train/nll") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert found.info.status == "FINISHED"


def test_a_delayed_file_that_changed_since_is_left_out(root, capsys):
    weights = root / "weights"
    weights.write_text("first")
    with open_affine(root, params=with_uri(f"http://127.0.0.1:{DEAD_PORT}")) as run:
        run.artifact(weights)
    weights.write_text("those of another training")
    with open_affine(root):
        pass
    client, found = only_run(root)
    assert artifacts(client, found) == []
    assert "changed since" in capsys.readouterr().err


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


def test_a_torn_journal_line_harms_no_other(tmp_path):
    journal = Journal(tmp_path)
    journal.append_metrics({"a": 1.0}, 1)
    with journal.path.open("ab") as file:
        file.write(b'{"kind": "metr')
    journal = Journal(tmp_path)
    journal.append_metrics({"a": 2.0}, 2)
    assert [event["values"]["a"] for _, event in journal.after(0)] == [1.0, 2.0]


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
        open_affine(root, params=with_uri(uri)),
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
    client, _ = tracking._client(tracking_uri(root))
    assert client.get_experiment_by_name("steadyflow").artifact_location == "s3://bucket/x"


def test_two_processes_make_the_first_data_base_together(tmp_path):
    script = f"""
        from pathlib import Path
        from pipeline.config import Params
        from pipeline.tracking.run import open_run
        with open_run(Path({str(tmp_path)!r}), "t", "v", 10, "k", Params.model_validate({BARE!r}), "train") as run:
            assert run.run_id
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0] and errors == ["", ""]
    only_run(tmp_path)
