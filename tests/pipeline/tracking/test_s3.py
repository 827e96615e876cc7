"""MLflow's artifacts and DVC's remote on an S3 API, which moto serves on this machine; it may go away and come back."""

import contextlib
import shutil
import subprocess
import sys

import pytest
import tiny_pipeline
from mlflow_server import free_port, serving
from tracking_store import open_affine

_WHY = "pip install -e '.[s3]' has it"
boto3 = pytest.importorskip("boto3", reason=_WHY)
moto = pytest.importorskip("moto.server", reason=_WHY)
pytest.importorskip("dvc_s3", reason=_WHY)

pytestmark = pytest.mark.slow
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


class Bucket:
    """A bucket named ``runs`` on a server that can be stopped and started; it forgets nothing."""

    def __init__(self):
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()
        self.client = boto3.client("s3", endpoint_url=self.uri)
        self.client.create_bucket(Bucket="runs")

    def start(self):
        self.server = moto.ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.server.start()

    def stop(self):
        self.server.stop()

    def content(self):
        found = self.client.list_objects_v2(Bucket="runs").get("Contents", [])
        return {one["Key"]: self.client.get_object(Bucket="runs", Key=one["Key"])["Body"].read() for one in found}


@pytest.fixture
def bucket(monkeypatch):
    from moto.backends import get_backend

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    started = Bucket()
    yield started
    with contextlib.suppress(Exception):
        started.stop()
    get_backend("s3").reset()


@pytest.mark.parametrize("away", [False, True])
def test_artifacts_reach_the_bucket_also_if_it_was_away(root, bucket, away):
    file = root / "summary.json"
    file.write_text('{"psnr": 27.5}\n', encoding="utf-8")
    port, store = free_port(), root / "server"
    store.mkdir()
    options = ("--artifacts-destination", "s3://runs/artifacts")
    own = {**KEYS, "MLFLOW_S3_ENDPOINT_URL": bucket.uri, "AWS_MAX_ATTEMPTS": "1"}
    with serving(store, port, *options, **own):
        uri = f"http://127.0.0.1:{port}"
        if away:
            bucket.stop()
        with open_affine(root, uri=uri) as run:
            run.metrics({"train/nll": 1.0}, step=1)
            run.artifact(file, "training")
        if away:
            bucket.start()
            assert bucket.content() == {}
            run._sender._server.retry_at = 0.0  # as in the next stage, which is a process of its own
            with open_affine(root, uri=uri, stage="evaluate"):
                pass
        found = bucket.content()
    (key,) = found
    assert key.startswith("artifacts/") and key.endswith("/artifacts/training/summary.json")
    assert found[key] == file.read_bytes()


def test_results_that_were_pushed_come_back_from_the_remote(tmp_path, bucket):
    folder = tiny_pipeline.make(tmp_path / "project", {"a": [], "b": ["a"]})

    def dvc(*arguments):
        line = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(
            line, cwd=folder, env=tiny_pipeline.environment(folder), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    dvc("remote", "add", "--default", "s3", "s3://runs/results")
    dvc("remote", "modify", "s3", "endpointurl", bucket.uri)
    dvc("repro")
    dvc("push")
    assert sorted(bucket.content().values()) == [b"a", b"b"]
    for name in ("out-a", "out-b"):
        (folder / name).unlink()
    shutil.rmtree(folder / ".dvc" / "cache")
    dvc("pull")
    assert [(folder / name).read_text(encoding="utf-8") for name in ("out-a", "out-b")] == ["a", "b"]
    process = tiny_pipeline.start(folder, 1)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "begin" not in out and (folder / "log").read_text(encoding="utf-8").count("begin") == 2
