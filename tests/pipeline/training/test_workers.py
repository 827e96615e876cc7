"""More workers than there is room for are refused, with what is asked and what there is; they do not wait for ever."""

import os
import shlex
import sys

from smoke_project import TASK, edit_params, fail, make_project

from pipeline.layout import manifest_path
from pipeline.training.ray_cluster import quoted_python
from pipeline.training.ray_train import shortage


def test_a_worker_takes_a_processor_or_a_gpu():
    assert shortage(2, "CPU", {"CPU": 2.0}) is None
    assert shortage(2, "GPU", {"CPU": 8.0, "GPU": 2.0}) is None
    assert "3 workers take a CPU each, but Ray has 2" in shortage(3, "CPU", {"CPU": 2.0})
    assert "1 workers take a GPU each, but Ray has 0" in shortage(1, "GPU", {"CPU": 2.0})


def test_a_stage_ends_at_once_with_one_line(tmp_path):
    folder = make_project(tmp_path)
    manifest = manifest_path(folder, TASK)
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    edit_params(folder, lambda params: params["runtime"].update(workers=os.cpu_count() + 1))
    said = fail(folder, "pretrain", None)
    assert f"{os.cpu_count() + 1} workers" in said and f"has {os.cpu_count()} here" in said


def test_a_worker_starts_below_a_folder_with_a_space(monkeypatch):
    """The command line that Ray makes of it names one program: the interpreter."""
    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray.core.generated.common_pb2 import Language

    monkeypatch.setattr(sys, "executable", "/home/a user/.venv/bin/python")
    started = []
    monkeypatch.setattr(os, "execvp", lambda program, args: started.append(args[-1]))
    RuntimeEnvContext(**quoted_python()["runtime_env"]).exec_worker(["worker.py"], Language.PYTHON)
    assert shlex.split(started[0]) == ["exec", "/home/a user/.venv/bin/python", "worker.py"]


def test_an_ordinary_interpreter_is_left_to_ray(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert quoted_python() == {}
