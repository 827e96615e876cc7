"""After any single fault a training ends with the weights, metrics and run of an undisturbed one, and says one line.

At chosen moments; benchmarks/faults.py has random ones. Bitwise also on two workers: a sum of two does not depend on
their order.
"""

import contextlib
import signal
import time

import faults
import pytest
import two_nodes
from mlflow_server import free_port, serving

from pipeline.tracking.client import open_client
from pipeline.tracking.store import tracking_uri

pytestmark = pytest.mark.slow
EARLY, LATE = 10, 25  # steps; another checkpoint lies between


@pytest.fixture(scope="module")
def base(pretrained):
    """Return the pretrained project with an empty MLflow store, whose making takes seconds."""
    open_client(tracking_uri(pretrained))
    return pretrained


@pytest.fixture(scope="module")
def usual(base, tmp_path_factory):
    """Return what an undisturbed training leaves, by the number of its workers."""
    found = {}

    def of(workers):
        if workers not in found:
            folder = faults.make_trained(base, tmp_path_factory.mktemp("usual"), workers)
            assert faults.ended(faults.start(folder)) == 0
            found[workers] = faults.left(folder)
        return found[workers]

    return of


def begun(base, folder, workers=0, **environment):
    """Return the process of a training that has just saved step ``LATE`` or a later one."""
    process = faults.start(faults.make_trained(base, folder, workers), **environment)
    faults.wait_for_step(folder, EARLY, process)
    faults.wait_for_step(folder, LATE, process)
    return process


def said(folder):
    return (folder / "errors").read_text(encoding="utf-8").splitlines()


def goes_on(folder, **environment):
    """Give the same command again, and hold that it went on from the newest checkpoint that can be read."""
    saved = faults.step_saved(folder)
    assert saved > 0
    assert faults.ended(faults.start(folder, **environment)) == 0, said(folder)
    again = faults.steps_repeated(folder)
    assert again == [] or again[0] == saved + 1


@pytest.mark.parametrize(
    ("disturb", "code", "words"),
    [
        (faults.send(signal.SIGKILL), -9, None),
        (faults.send(signal.SIGTERM), 130, "stopped: "),
        (faults.send(signal.SIGINT), 130, "stopped: "),
        (faults.damage(faults.truncated), -9, "damaged"),
        (faults.damage(faults.flipped), -9, "damaged"),
    ],
    ids=["kill", "term", "int", "truncated", "flipped"],
)
def test_a_stage_that_was_ended_goes_on(base, usual, tmp_path, disturb, code, words):
    process = begun(base, tmp_path)
    disturb(process, tmp_path)
    assert faults.ended(process) == code
    goes_on(tmp_path)
    assert faults.left(tmp_path) == usual(0)
    assert len(said(tmp_path)) == (words is not None)
    assert words is None or words in said(tmp_path)[0]


def test_a_full_disk(base, usual, tmp_path):
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(faults.small_disk(tmp_path))
        except PermissionError as reason:
            pytest.skip(str(reason))
        process = begun(base, tmp_path)
        faults.fill_disk(process, tmp_path)
        assert faults.ended(process) == 2
        *others, last = said(tmp_path)
        assert last.startswith("error: no disk space left")
        assert all("nothing is lost" in line for line in others)  # tracking's, where it met the full disk first
        faults.empty_disk(tmp_path)
        goes_on(tmp_path)
        assert faults.left(tmp_path) == usual(0)


@pytest.mark.parametrize("seed", [0, 1])
def test_clocks_that_jump(base, usual, tmp_path, seed):
    process = faults.start(faults.make_trained(base, tmp_path), clock=seed)
    assert faults.ended(process) == 0
    assert said(tmp_path) == []
    assert faults.left(tmp_path) == usual(0)


@pytest.mark.parametrize("fault", ["down at the start", "down in the middle", "down for good"])
def test_mlflow_down(base, usual, tmp_path, fault):
    port, place = free_port(), tmp_path / "server"
    place.mkdir()
    uri, server = f"http://127.0.0.1:{port}", serving(place, port)
    with contextlib.ExitStack() as stack:
        if fault != "down at the start":
            stack.enter_context(server)
        process = begun(base, tmp_path, MLFLOW_TRACKING_URI=uri)
        server.kill()
        if fault != "down for good":
            stack.enter_context(server)
        assert faults.ended(process) == 0
        assert faults.left(tmp_path, "auto" if fault == "down for good" else uri) == usual(0)
    assert len(said(tmp_path)) <= 1
    assert all("nothing is lost" in line for line in said(tmp_path))


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("RayTrainWorker", signal.SIGKILL, "worker "),
        ("raylet/raylet", signal.SIGKILL, "Ray died"),
        ("RayTrainWorker", signal.SIGSTOP, "did not answer for 12 s"),
    ],
    ids=["worker", "raylet", "hang"],
)
def test_workers_are_started_again(base, usual, tmp_path, name, number, words):
    process = begun(base, tmp_path, 2)
    faults.to_child(name, number)(process, tmp_path)
    assert faults.ended(process) == 0
    (line,) = said(tmp_path)
    assert words in line and line.endswith("(1 of 3 retries)")
    assert faults.left(tmp_path) == usual(2)


@pytest.mark.parametrize(
    ("number", "code", "lines"), [(signal.SIGTERM, 130, 1), (signal.SIGINT, 130, 1), (signal.SIGKILL, -9, 0)]
)
def test_workers_whose_driver_is_told_to_stop_or_killed(base, usual, tmp_path, number, code, lines):
    process = begun(base, tmp_path, workers=2)
    process.send_signal(number)
    assert faults.ended(process) == code
    assert len(said(tmp_path)) == lines
    if number == signal.SIGKILL:
        time.sleep(10)  # its workers end by themselves
    goes_on(tmp_path)
    assert faults.left(tmp_path) == usual(2)


def test_one_of_two_nodes_is_killed_and_another_one_comes(base, usual, tmp_path):
    with two_nodes.cluster() as nodes:
        process = begun(base, tmp_path, 2, **nodes.environment)
        nodes.replace_node()
        assert faults.ended(process) == 0
    lines = [line for line in said(tmp_path) if "waiting for the cluster to grow" not in line]
    assert len(lines) == 1 and "died; going on from the last checkpoint (1 of 3 retries)" in lines[0]
    assert faults.left(tmp_path) == usual(2)


def test_a_worker_that_freezes_before_it_begins_in_a_cluster_that_was_joined(base, usual, tmp_path):
    faults.make_trained(base, tmp_path, 2)
    with two_nodes.cluster() as nodes:
        process = faults.start(tmp_path, **nodes.environment)
        nodes.freeze_worker()
        assert faults.ended(process) == 0
    assert [line for line in said(tmp_path) if "workers did not begin within 72 s; going on" in line]
    assert faults.left(tmp_path) == usual(2)
