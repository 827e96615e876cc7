"""What a group of workers comes to when some die: retried up to a limit, in a line each, and nobody's mistake twice."""

import contextlib
import inspect
import io
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import psutil
import pytest
import ray.exceptions
import ray.train
from ray.train.v2._internal.exceptions import WorkerHealthCheckTimeoutError
from ray.train.v2._internal.execution.callback import ControllerCallback

from pipeline.errors import DivergenceError, Interrupted, StartAnew, SteadyflowError
from pipeline.training import ray_cluster, ray_group
from pipeline.training.ray_group import RETRIES, looking, member, own_error, run_group
from pipeline.training.ray_room import LooksForRoom
from pipeline.training.stopping import stop_requests, told_by_file

CLOSED = "[pair.cc:561 of gloo] Connection closed by peer [127.0.0.1]:26508"
DEATH = {0: RuntimeError(CLOSED), 1: ray.exceptions.ActorDiedError()}
SILENCE = {0: RuntimeError("[unbound_buffer.cc:78] Timed out waiting 15000ms for recv operation to complete")}
FROZEN = {1: WorkerHealthCheckTimeoutError("A worker health check has been hanging for 15.21 seconds.")}
LOST = {0: RuntimeError(CLOSED)}


class Runs:
    """Makes trainers that raise one after the other of ``errors``, then one that ends well."""

    def __init__(self, *errors):
        self.errors, self.tried = list(errors), 0

    def __call__(self):
        return self

    def fit(self):
        self.tried += 1
        if self.errors:
            raise self.errors.pop(0)


def group_error(failures):
    return ray.train.WorkerGroupError("many lines\n" * 70, failures)


def run(runs, tmp_path, retries=3):
    run_group(runs, "a training", retries, 15.0, tmp_path / "stop")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (group_error(DEATH), "worker 1 died"),
        (group_error(SILENCE), "a worker did not answer for 15 s"),
        (group_error(FROZEN), "a worker did not answer for 15 s"),
        (group_error(LOST), "the connection between workers broke"),
        (ray.exceptions.ActorDiedError(), "Ray died"),
        (ray_cluster.RayDidNotStart("Ray does not start (timed out)"), "Ray does not start (timed out)"),
    ],
)
def test_a_group_that_died_is_started_again_with_one_line(tmp_path, capsys, error, said):
    runs = Runs(error, error)
    run(runs, tmp_path)
    assert runs.tried == 3
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"warning: a training: {said}; going on from the last checkpoint (1 of 3 retries)"
    assert second.endswith("(2 of 3 retries)")


@pytest.mark.parametrize("retries", [0, 2])
def test_past_the_limit_it_is_one_error(tmp_path, retries):
    runs = Runs(*[group_error(DEATH)] * 9)
    with pytest.raises(SteadyflowError) as caught:
        run(runs, tmp_path, retries)
    assert runs.tried == retries + 1
    assert f"worker 1 died, and runtime.retries ({retries})" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [DivergenceError("the loss is NaN"), OSError(28, "No space left on device", "checkpoint.pt")]
)
def test_what_would_happen_again_is_raised_as_it_was(tmp_path, error):
    runs = Runs(group_error({0: error, 1: RuntimeError(CLOSED)}))
    with pytest.raises(type(error)) as caught:
        run(runs, tmp_path)
    assert caught.value is error and runs.tried == 1


def test_a_fault_of_the_code_keeps_its_traceback(tmp_path):
    runs = Runs(group_error({0: TypeError("no such argument")}))
    with pytest.raises(ray.train.WorkerGroupError):
        run(runs, tmp_path)
    assert runs.tried == 1


def test_sigterm_becomes_the_file_that_workers_look_for(tmp_path):
    class Training:
        def fit(self):
            with told_by_file(tmp_path / "stop"), stop_requests() as should_stop:
                os.kill(os.getpid(), signal.SIGTERM)
                while not should_stop():
                    threading.Event().wait(0.01)
                raise group_error({0: Interrupted("saved at step 7")})

    with pytest.raises(Interrupted, match="saved at step 7"):
        run(Training, tmp_path)
    assert not (tmp_path / "stop").exists()


def test_workers_that_die_while_they_are_told_to_stop_are_not_started_again(tmp_path):
    class Training:
        def fit(self):
            os.kill(os.getpid(), signal.SIGTERM)
            while not (tmp_path / "stop").exists():
                threading.Event().wait(0.01)
            raise group_error(DEATH)

    with pytest.raises(Interrupted, match="last checkpoint"):
        run(Training, tmp_path)


def test_what_dies_after_the_work_is_done_is_no_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(get_world_rank=lambda: 0))
    worker = member(lambda given: None, tmp_path / "stop")

    class Training:
        tried = 0

        def fit(self):
            Training.tried += 1
            worker("given")
            raise ray.exceptions.ActorDiedError()

    run(Training, tmp_path)
    assert Training.tried == 1 and capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_ray_that_does_not_start_is_one_kind_of_error(monkeypatch):
    def fail(**_options):
        raise Exception("The current node timed out during startup.\nmany lines")  # as Ray does

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ray_cluster.RayDidNotStart, match=r"^Ray does not start \(The current node timed out") as caught:
        ray_cluster.connect()
    assert "many lines" not in str(caught.value)


def test_a_ray_that_dies_before_the_trainer_is_made_is_tried_again(tmp_path, capsys):
    runs, faults = Runs(), [ray.exceptions.RaySystemError("no answer")]

    def make():
        if faults:
            raise faults.pop()
        return runs

    run(make, tmp_path)
    assert runs.tried == 1 and "Ray died" in capsys.readouterr().err


@pytest.fixture
def dead_raylet(monkeypatch):
    """Put processes in the place of Ray's: a raylet that is dead, and another one that has a child, and lives."""
    parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    raylet, other = (subprocess.Popen([sys.executable, "-c", code]) for code in ("", parent))
    raylet.wait()
    while not psutil.Process(other.pid).children():
        threading.Event().wait(0.01)
    started = {"raylet": [SimpleNamespace(process=raylet)], "gcs_server": [SimpleNamespace(process=other)]}
    monkeypatch.setattr(
        ray._private.worker, "_global_node", SimpleNamespace(all_processes=started, get_logs_dir_path=str)
    )
    family = [psutil.Process(other.pid), *psutil.Process(other.pid).children()]
    yield family
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    other.wait()


@pytest.fixture
def endless():
    """Return what makes a trainer that trains until the test has ended."""
    released = threading.Event()
    yield lambda: SimpleNamespace(fit=released.wait)
    released.set()


def test_where_the_raylet_died_the_process_starts_anew_and_counts(tmp_path, capsys, monkeypatch, dead_raylet, endless):
    monkeypatch.setenv(RETRIES, "1 a training")
    with pytest.raises(StartAnew) as anew:
        run(endless, tmp_path)
    assert anew.value.environment == {RETRIES: "2 a training"}
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: a training: Ray died; going on from the last checkpoint (2 of 3 retries)"
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in dead_raylet)
    monkeypatch.setenv(RETRIES, "2 a training")
    with pytest.raises(SteadyflowError, match="used up") as caught:
        run(endless, tmp_path, retries=2)
    assert not isinstance(caught.value, StartAnew) and RETRIES not in os.environ


def test_workers_that_do_not_begin_are_not_waited_for_in_a_ray_of_our_own(
    tmp_path, capsys, monkeypatch, dead_raylet, endless
):
    monkeypatch.setattr(ray_group, "_raylet_is_dead", lambda: False)
    monkeypatch.setattr(ray_group, "_STARTING", -14.5)  # half a second is left of the patience
    with pytest.raises(StartAnew):
        run(endless, tmp_path)
    assert "a training: workers did not begin within 0.5 s; going on" in capsys.readouterr().err
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in dead_raylet)


def test_nor_in_a_cluster_that_was_joined(tmp_path, capsys, monkeypatch, endless):
    monkeypatch.setattr(ray_group, "_STARTING", -14.5)
    with pytest.raises(StartAnew) as anew:
        run(endless, tmp_path)
    assert anew.value.environment == {RETRIES: "1 a training"}
    assert "a training: workers did not begin within 0.5 s; going on" in capsys.readouterr().err


def test_room_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_group, "_STARTING", -14.0)  # a second is left of the patience
    looks = LooksForRoom(looking(tmp_path / "stop"))

    def fit():
        for _ in range(8):
            looks.on_controller_start_worker_group(scaling_config=None, num_workers=2)
            threading.Event().wait(0.25)

    run(lambda: SimpleNamespace(fit=fit), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_ray_tells_when_it_looks_for_room():
    assert issubclass(LooksForRoom, ControllerCallback)
    known = inspect.signature(ControllerCallback.on_controller_start_worker_group).parameters
    assert set(known) == {"self", "scaling_config", "num_workers"}


def test_workers_that_have_begun_may_take_their_time(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_group, "_STARTING", -15.0)
    monkeypatch.setattr(ray_group, "_processes_of_ray", lambda kind=None: [SimpleNamespace(poll=lambda: None)])
    monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(get_world_rank=lambda: 0))
    worker = member(lambda given: threading.Event().wait(0.6), tmp_path / "stop")
    run(lambda: SimpleNamespace(fit=lambda: worker("given")), tmp_path)


@pytest.mark.parametrize("before", ["2 another", "many a training", "2"])
def test_retries_of_another_training_do_not_count(tmp_path, monkeypatch, dead_raylet, endless, before):
    monkeypatch.setenv(RETRIES, before)
    with pytest.raises(StartAnew) as anew:
        run(endless, tmp_path)
    assert anew.value.environment == {RETRIES: "1 a training"}


def test_sigterm_as_the_raylet_dies_is_heard(tmp_path, monkeypatch, dead_raylet, endless):
    monkeypatch.setattr(ray_group, "_kill_ray", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="last checkpoint"):
        run(endless, tmp_path)


def test_a_file_of_an_earlier_run_stops_nothing(tmp_path):
    (tmp_path / "stop").touch()
    seen = []

    class Training:
        def fit(self):
            seen.append((tmp_path / "stop").exists())

    run(Training, tmp_path)
    assert seen == [False]


def test_an_error_of_ours_is_found_however_deep_ray_put_it():
    inner = DivergenceError("the loss is NaN")
    wrapped = ray.exceptions.RayTaskError("fit", "many lines", inner)
    assert own_error(group_error({0: RuntimeError(CLOSED), 1: wrapped})) is inner
    assert own_error(group_error(DEATH)) is None


def test_of_what_processes_print_people_see_the_first_workers_lines_alone(capsys, monkeypatch):
    lines = {}
    for rank in (0, 1):
        monkeypatch.setattr(sys, "stdout", written := io.StringIO())
        print("Ray: Setting up process group")
        with ray_cluster.said_to_people(rank == 0):
            print("step", end=" ")
            print(rank)
        lines[rank] = written.getvalue().split("\n")  # not splitlines, which knows more ends
        monkeypatch.undo()
    for printed in lines.values():
        ray_cluster._relay({"lines": printed, "is_err": False}, ignore_prefix=False)
    assert capsys.readouterr().out == "step 0\n"


def test_ray_prints_by_the_function_that_ours_stands_in_for():
    """A Ray without it would print everything again."""
    import inspect

    import ray._private.worker as internals

    internals = sys.modules[internals.__name__]
    for function in (internals.listen_error_messages, internals.connect):
        assert "print_to_stdstream" in inspect.getsource(function)
