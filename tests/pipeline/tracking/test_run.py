"""Runs against a real MLflow store: what arrives, resume, no duplicates, status."""

import json
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from tracking_store import artifacts, only_run, open_affine, points, table

from pipeline.errors import Interrupted
from pipeline.tracking.journal import Journal


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
        run.flush()
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
        run.flush()
        first = run.run_id
    with open_affine(root) as run:
        run.metrics({"train/nll": 9.0, "train/lr": 0.2}, step=20)  # nll at step 20 is logged; lr is not
        run.metrics({"train/nll": 1.0}, step=30)
    with open_affine(root, stage="evaluate") as run:
        run.metrics({"sr/psnr": 30.0})
        run.metrics({"sr/psnr": 30.0})
        run.metrics({"sr/psnr": 31.0, "train/lr": 0.3})
        run.flush()
        assert run.run_id == first
    client, found = only_run(root)
    assert points(client, found, "train/nll") == [(10, 3.0), (20, 2.0), (30, 1.0)]
    assert points(client, found, "train/lr") == [(10, 0.1), (20, 0.2), (20, 0.3)]  # the last was without a step
    assert sorted(points(client, found, "sr/psnr")) == [(0, 30.0), (0, 31.0)]
    assert found.data.tags["steadyflow.dvc_stage"] == "evaluate"


def test_a_later_stage_leaves_the_end_of_the_training(root):
    with open_affine(root):
        pass
    _, trained = only_run(root)
    time.sleep(0.01)
    with open_affine(root, stage="evaluate") as run:
        run.metrics({"sr/psnr": 30.0})
    _, found = only_run(root)
    assert found.info.status == "FINISHED" and found.info.end_time == trained.info.end_time


def test_a_lost_acknowledgement_duplicates_nothing(root):
    with open_affine(root) as run:
        run.metrics({"train/nll": 3.0}, step=10)
        run.table("per_picture", [{"picture": "a", "psnr": 30.0}])
    (root / ".runs" / "df2k_x4-affine-10-k1" / "tracking_sent.json").unlink()
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
    with open_affine(root) as run:
        run.flush()
        _, found = only_run(root)
        assert found.info.status == "RUNNING"
    _, found = only_run(root)
    assert found.info.status == "FINISHED"


def test_a_killed_run_stays_running_and_is_resumed(root):
    script = f"""
        import os, signal
        from pathlib import Path
        from pipeline.tracking.identity import training_identity
        from pipeline.tracking.run import open_run
        with open_run(Path({str(root)!r}), training_identity("df2k_x4", "affine", 10, "k1"), "auto", {{}}) as run:
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


def test_a_torn_journal_line_harms_no_other(tmp_path):
    journal = Journal(tmp_path)
    journal.append_metrics({"a": 1.0}, 1)
    with journal.path.open("ab") as file:
        file.write(b'{"kind": "metr')
    journal = Journal(tmp_path)
    journal.append_metrics({"a": 2.0}, 2)
    assert [event["values"]["a"] for _, event in journal.after(0)] == [1.0, 2.0]


def test_of_two_who_log_the_same_steps_each_point_is_kept_once(tmp_path):
    """A worker that does not answer may still log, beside the group that was started in its place."""
    slow, after = Journal(tmp_path), Journal(tmp_path)
    for step in (1, 2):
        slow.append_metrics({"a": float(step)}, step)
    for step in (1, 2, 3, 4):
        after.append_metrics({"a": float(step)}, step)
    slow.append_metrics({"a": 3.0}, 3)
    steps = [event["step"] for _, event in after.after(0)]
    assert steps == [1, 2, 3, 4]
