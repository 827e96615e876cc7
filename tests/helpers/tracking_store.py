"""Runs in a real MLflow store in a folder of the test's own: opened as the stages do, and read back."""

import json
from pathlib import Path

from pipeline.tracking.client import open_client, search
from pipeline.tracking.identity import training_identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import open_run
from pipeline.tracking.store import tracking_uri

TASK = "df2k_x4"
DEAD = "http://127.0.0.1:9"  # discard: nothing listens there


def affine(key="k1", variant="affine", seed=10):
    return training_identity(TASK, variant, seed, key)


def open_as(root, identity, uri="auto", stage="train"):
    return open_run(root, identity, uri, provenance(root, stage, "smoke", TASK))


def open_affine(root, key="k1", uri="auto", variant="affine", stage="train", seed=10):
    return open_as(root, affine(key, variant, seed), uri, stage)


def all_runs(root):
    client, experiment = open_client(tracking_uri(root))
    return client, list(search(client, experiment, ""))


def only_run(root):
    client, runs = all_runs(root)
    assert len(runs) == 1
    return client, runs[0]


def by_name(root):
    client, runs = all_runs(root)
    assert len({run.info.run_name for run in runs}) == len(runs)
    return client, {run.info.run_name: run for run in runs}


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
