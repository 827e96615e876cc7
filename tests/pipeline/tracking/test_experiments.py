"""What the runs of a task's experiments say of their pictures and their source, and the baseline beside them."""

import hashlib
import json
import os
import subprocess

import pytest
from report_tree import make_params
from tracking_store import TASK, all_runs, artifacts, by_name, only_run

from pipeline.errors import DataError
from pipeline.experiment import Experiment
from pipeline.feed.manifest import FORMAT
from pipeline.layout import manifest_path
from pipeline.tracking.experiments import open_baseline, open_experiment


@pytest.fixture
def experiment():
    return Experiment.of(make_params(), TASK, 10, "affine")


def write_manifest(root, **changes):
    """Write a manifest of three pictures; return its SHA-256."""
    picture = {"source": "x.png", "height": 2, "width": 2, "sha256": "0" * 64, "shard": "s", "offset": 0}
    splits = {"a": "train", "b": "train", "c": "validation"}
    head = {"format": FORMAT, "task": TASK, "dataset": "df2k", "demo": True, "licence": "CC0", "notes": []}
    pictures = [{"id": one, "split": split, **picture} for one, split in splits.items()]
    path = manifest_path(root, TASK)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**head, "pictures": pictures, **changes}))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def inputs(run):
    """Return {(context, name): data set} of a run's inputs."""
    return {(one.tags[0].value, one.dataset.name): one.dataset for one in run.inputs.dataset_inputs}


def test_the_manifest_is_the_data_set_of_what_trains_and_of_what_measures(root, experiment):
    sha256 = write_manifest(root)
    for stage in ("train", "evaluate", "stability", "ratings"):
        with open_experiment(root, experiment, "k1", stage):
            pass
    client, run = only_run(root)
    found = inputs(run)
    assert set(found) == {("training", f"{TASK} train"), ("evaluation", f"{TASK} validation")}
    training = found["training", f"{TASK} train"]
    assert len(training.digest) >= 32 and sha256.startswith(training.digest)
    assert run.data.tags["steadyflow.data_sha256"] == sha256
    assert json.loads(training.source)["uri"] == f"data/prepared/{TASK}/manifest.json"
    assert json.loads(training.profile) == {
        "dataset": "df2k",
        "demo": True,
        "licence": "CC0",
        "pictures": 2,
        "inputs": 0,
    }
    assert artifacts(client, run) == []  # no picture is copied


def test_other_pictures_are_another_data_set(root, experiment):
    digests = set()
    for licence in ("CC0", "MIT"):
        write_manifest(root, licence=licence)
        with open_experiment(root, experiment, licence, "train"):
            pass
        digests |= {one.digest for run in all_runs(root)[1] for one in inputs(run).values()}
    assert len(digests) == 2


def test_without_prepared_pictures_a_run_has_no_data_set(root, experiment):
    with open_experiment(root, experiment, "k1", "evaluate"):
        pass
    assert only_run(root)[1].inputs.dataset_inputs == []


def test_a_damaged_manifest_is_named(root, experiment):
    write_manifest(root, pictures="many")
    with pytest.raises(DataError, match="manifest"), open_experiment(root, experiment, "k1", "train"):
        pass


def test_a_run_is_from_where_it_was_trained(root, experiment):
    def commit(message):
        who = {f"GIT_{role}_{what}": "a" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        for arguments in (("add", "-A"), ("commit", "-qm", message, "--allow-empty"), ("rev-parse", "HEAD")):
            done = subprocess.run(
                ["git", *arguments], cwd=root, env={**os.environ, **who}, check=True, capture_output=True, text=True
            )
        return done.stdout.strip()

    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".gitignore").write_text("*\n")
    made = {}
    for stage in ("train", "evaluate"):
        made[stage] = commit(stage)
        with open_experiment(root, experiment, "k1", stage):
            pass
    tags = only_run(root)[1].data.tags
    assert tags["mlflow.source.name"] == "stages/train.py"
    assert tags["mlflow.source.git.commit"] == made["train"]
    assert tags["steadyflow.commit.evaluate"] == made["evaluate"]


def test_the_baseline_is_a_run_beside_the_variants_of_its_data(root, experiment):
    for licence in ("CC0", "CC0", "MIT"):
        write_manifest(root, licence=licence)
        with open_baseline(root, experiment) as run:
            run.metrics({"sr/psnr": 28.0})
    with open_experiment(root, experiment, "k1", "evaluate") as run:
        run.metrics({"sr/psnr": 30.0})
    runs = all_runs(root)[1]
    kept = {run.info.run_name: run for run in runs if run.data.tags["steadyflow.superseded"] == "false"}
    assert len(runs) == 3
    values = {name: run.data.metrics["sr/psnr"] for name, run in kept.items()}
    assert values == {"df2k_x4-affine-10": 30.0, "df2k_x4-baseline": 28.0}


def test_pictures_of_one_name_are_steps_of_a_slider(root, experiment):
    from PIL import Image

    def log(*colours):
        paths = [root / f"{index}.png" for index in range(len(colours))]
        for path, colour in zip(paths, colours, strict=True):
            Image.new("RGB", (8, 8), colour).save(path)
        with open_experiment(root, experiment, "k1", "evaluate") as run:
            run.images(paths, "samples/picture")

    log("red", "green", "blue")
    log("red", "green", "white")
    client, runs = by_name(root)
    names = [name for name in artifacts(client, runs["df2k_x4-affine-10"], "images") if name.endswith(".png")]
    assert sorted(name.split("+")[2] for name in names) == ["0", "1", "2", "2"]
