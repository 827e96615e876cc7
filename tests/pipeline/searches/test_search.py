"""A search that is run, with a trial that diverges; gone on with, added to, killed, and with as many at a time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_search import BASE, GRIDS, run_in, table, values
from tracking_store import all_runs

from pipeline.files import read_json
from pipeline.layout import searches_stamp
from pipeline.searches import running
from pipeline.searches.stamp import write_stamp
from pipeline.searches.trial import Result
from pipeline.tracking.identity import PARENT_TAG

STATUSES = ["finished", "finished", "finished", "diverged"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return the folder and the page of a search with two trials at a time; one of its trials diverges."""
    folder = tmp_path_factory.mktemp("search")
    return folder, run_in(folder)


def ended(folder):
    """Return when each trial wrote its result, by folder."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (folder / ".runs").glob("search-own-*/*/result.json")}


def test_every_trial_is_in_the_table_also_one_that_diverged(ran):
    rows = table(ran[0])
    assert [row["status"] for row in rows] == STATUSES
    assert [row["regularizer"] for row in rows] == ["none", "fd", "nf", "none"]
    assert all(0 <= float(row["accuracy"]) <= 100 and float(row["condition_worst"]) >= 1 for row in rows[:3])
    assert rows[3]["accuracy"] == "" and "non-finite loss" in rows[3]["reason"]


def test_a_regularizer_changes_what_is_trained(ran):
    assert len({row["condition_worst"] for row in table(ran[0])[:3]}) == 3


def test_the_page_counts_and_names_the_winner(ran):
    folder, page = ran
    assert page.found[0] == "4 trials, 1 diverged."
    (first,) = [row for row in table(folder) if row["winner"] == "1"]
    assert f"regularizer {first['regularizer']}" in page.found[1]
    assert (folder / "out" / page.figures[0].file).read_bytes().startswith(b"\x89PNG")


def test_trials_are_runs_inside_of_the_searchs(ran):
    client, runs = all_runs(ran[0])
    (parent,) = [run for run in runs if PARENT_TAG not in run.data.tags]
    nested = [run for run in runs if run.data.tags.get(PARENT_TAG) == parent.info.run_id]
    assert len(nested) == 4 and len(runs) == 5
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.data.tags["steadyflow.status"] for run in nested) == sorted(STATUSES)
    for run in nested:
        assert set(run.data.params) == {"regularizer", "weight", "learning_rate"}
        assert run.info.run_name.startswith(f"regularizer {run.data.params['regularizer']}")
    (fd,) = [run for run in nested if run.data.params["regularizer"] == "fd"]
    row = table(ran[0])[1]
    assert fd.data.metrics["accuracy"] == pytest.approx(float(row["accuracy"]))
    curve = [point.step for point in client.get_metric_history(fd.info.run_id, "train/loss")]
    assert curve == [1, 2, 3, 4]
    assert parent.data.params["study"] == "classifier" and parent.data.params["base.depth"] == "1"
    assert parent.data.metrics["trials"] == 4 and parent.data.metrics["diverged"] == 1


def test_the_files_are_those_that_the_document_names(ran):
    text = (Path(__file__).resolve().parents[3] / "docs" / "search.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([\w.]+\.(?:csv|json|png|yaml))` \|", text, re.M)
    assert sorted(named) == sorted(path.name for path in (ran[0] / "out").iterdir())


def test_nothing_is_left_of_checkpoints_and_of_ray(ran):
    assert not list((ran[0] / ".runs").rglob("*.pt"))
    assert not list((ran[0] / ".runs" / "ray").glob("tune-*"))


def test_a_search_that_has_ended_starts_nothing(ran, monkeypatch):
    folder, _ = ran
    before, when = table(folder), ended(folder)
    asked = []
    monkeypatch.setattr(running, "run_trials", lambda work, trials, *rest: asked.append(list(trials)))
    run_in(folder)
    assert asked == [[]]
    assert (table(folder), ended(folder)) == (before, when)


def test_an_added_value_runs_alone(ran, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(ran[0], folder)
    asked = []

    def keeps(work, trials, runtime, root, name, ended, halving):
        asked.extend(trials)
        for number, trial in enumerate(trials):
            trial.keep(Result("finished", None, {"accuracy": 50.0, "condition_worst": 2.0}))
            ended(number, {})

    monkeypatch.setattr(running, "run_trials", keeps)
    run_in(folder, grids=[*GRIDS, {"depth": [2]}])
    (added,) = asked
    assert (added.setting.depth, added.setting.regularizer) == (2, "none")
    rows = table(folder)
    assert [row["accuracy"] for row in rows] == [*(row["accuracy"] for row in table(ran[0])), "50.0"]
    _, runs = all_runs(folder)
    assert len(runs) == 6  # in the run of the search that was there


def test_a_trial_that_ended_as_the_search_was_killed_is_told_to_mlflow(ran, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(ran[0], folder)
    (lost,) = [
        path.parent for path in (folder / ".runs").rglob("told.json") if '"regularizer": "fd"' in _events(path.parent)
    ]
    (lost / "told.json").unlink()
    client, runs = all_runs(folder)
    (run,) = [run for run in runs if run.info.run_name.startswith("regularizer fd")]
    client.delete_run(run.info.run_id)
    run_in(folder)
    _, runs = all_runs(folder)
    (again,) = [run for run in runs if run.info.run_name.startswith("regularizer fd")]
    assert again.data.tags["steadyflow.status"] == "finished"
    assert again.data.metrics["accuracy"] == run.data.metrics["accuracy"]


def _events(folder):
    return (folder / "tracking.jsonl").read_text(encoding="utf-8")


def test_the_report_is_told_of_results_in_their_place(ran, tmp_path):
    assert not searches_stamp(ran[0]).exists()  # its results went elsewhere
    page = tmp_path / "searches" / "own" / "page.json"
    page.parent.mkdir(parents=True)
    page.write_bytes((ran[0] / "out" / "page.json").read_bytes())
    write_stamp(tmp_path)
    first = read_json(searches_stamp(tmp_path))
    assert list(first) == ["own"]
    page.write_text("{}")
    write_stamp(tmp_path)
    assert read_json(searches_stamp(tmp_path)) != first
    page.unlink()
    write_stamp(tmp_path)
    assert not searches_stamp(tmp_path).exists()


@pytest.mark.slow
def test_one_at_a_time_finds_the_same(ran, tmp_path):
    run_in(tmp_path, trials=1)
    assert values(tmp_path) == values(ran[0])
    assert table(tmp_path) == table(ran[0])


LONGER = {"base": {**BASE, "steps": 400, "points": 1}}


@pytest.mark.slow
def test_killed_and_gone_on_with_it_finds_the_same_and_repeats_no_trial(tmp_path):
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    killed.mkdir()
    calm.mkdir()
    command = [sys.executable, "-m", "small_search", str(killed), "2", json.dumps(LONGER)]
    helpers = os.pathsep.join([os.fspath(p) for p in sys.path if p])
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": helpers}, cwd=tmp_path)
    deadline = time.monotonic() + 300
    while len(ended(killed)) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(8)  # Ray's processes notice and end
    before = ended(killed)
    assert 2 <= len(before) < 4
    run_in(killed, **LONGER)
    run_in(calm, **LONGER)
    after = ended(killed)
    assert {name: after[name] for name in before} == before
    assert len(after) == 4
    assert values(killed) == values(calm)
    assert table(killed) == table(calm)


@pytest.mark.slow
def test_halving_stops_trials_and_says_so(tmp_path):
    grids = [{"learning_rate": [3e-3, 1e-9, 2e-9, 3e-9]}]
    base = {**BASE, "steps": 60, "points": 6, "batch": 32}
    run_in(tmp_path, trials=1, base=base, grids=grids, scheduler="asha", grace=10, reduction=2)
    rows = table(tmp_path)
    assert [row["status"] for row in rows] == ["finished", "stopped", "stopped", "stopped"]
    assert all("stopped at step" in row["reason"] for row in rows[1:])
    assert rows[0]["winner"] == "1"


def test_what_ray_breaks_off_with_is_one_line(tmp_path, monkeypatch):
    from ray import tune

    from pipeline.errors import SteadyflowError

    def fails(tuner):
        raise RuntimeError("Caught unexpected exception: 2 workers were killed\nObject store: ...\n" + "x" * 5000)

    monkeypatch.setattr(tune.Tuner, "fit", fails)
    with pytest.raises(SteadyflowError, match=r"2 workers were killed.*the same command goes on from there") as said:
        run_in(tmp_path)
    assert "\n" not in str(said.value)
