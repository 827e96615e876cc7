"""stages/run: which Python a stage gets, that signals reach it, and one line where there is none that will do."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "stages" / "run"
STAGE = """
import os, signal, sys, time
def stop(signum, frame):
    sys.exit(77)
print(os.environ["WHICH"], sys.argv[1:], flush=True)
if "wait" in sys.argv:
    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    time.sleep(60)
"""


def python(folder, which, options=""):
    """Make ``folder/python``, this interpreter under the name ``which``; with ``-S`` it sees no dependency."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "python"
    file.write_text(f'#!/bin/sh\nWHICH={which} exec "{sys.executable}" {options} "$@"\n', encoding="utf-8")
    file.chmod(0o755)


@pytest.fixture
def project(tmp_path):
    """Return a project with a stage, in a folder with a space, whose PATH leads to an empty folder."""
    folder = tmp_path / "my project"
    (folder / "stages").mkdir(parents=True)
    (folder / "stages" / "__init__.py").touch()
    (folder / "stages" / "one.py").write_text(STAGE, encoding="utf-8")
    shutil.copy(RUN, folder / "stages" / "run")
    return folder


def start(folder, *arguments, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "STEADYFLOW", "DVC"))}
    return subprocess.Popen(
        ["/bin/sh", "stages/run", "one", *arguments],
        cwd=folder,
        env={**kept, "PATH": str(folder / "bin"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(folder, *arguments, **environment):
    process = start(folder, *arguments, **environment)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out.strip()


def test_a_stage_gets_its_arguments_as_they_are(project):
    python(project / "bin", "path")
    assert said(project, "--task", "a  b") == "path ['--task', 'a  b']"


def test_an_environment_in_use_goes_before_the_projects_own(project):
    python(project / "bin", "path")
    python(project / ".venv" / "bin", "venv")
    assert said(project).startswith("path")


def test_the_projects_own_goes_before_a_python_without_dependencies(project):
    python(project / "bin", "path", "-S")
    python(project / ".venv" / "bin", "venv")
    assert said(project).startswith("venv")


def test_a_copy_of_an_experiment_uses_the_environment_of_its_project(project, tmp_path):
    python(tmp_path / "the parent" / ".venv" / "bin", "parent")
    assert said(project, DVC_ROOT=str(tmp_path / "the parent")).startswith("parent")


def test_the_interpreter_that_is_named_goes_before_all(project, tmp_path):
    python(project / "bin", "path")
    python(tmp_path / "its own", "named")
    assert said(project, STEADYFLOW_PYTHON=str(tmp_path / "its own" / "python")).startswith("named")


@pytest.mark.parametrize("named", [False, True])
def test_no_python_with_dependencies_is_one_line(project, named):
    python(project / "bin", "path", "-S")
    environment = {"STEADYFLOW_PYTHON": str(project / "bin" / "python")} if named else {}
    process = start(project, **environment)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    (line,) = errors.splitlines()
    assert line.startswith("error: ") and "make repro" in line
    assert ("STEADYFLOW_PYTHON" in line) == named


def test_a_python_with_some_of_the_dependencies_will_not_do(project, tmp_path):
    (tmp_path / "some" / "torch").mkdir(parents=True)
    (tmp_path / "some" / "torch" / "__init__.py").touch()
    python(project / "bin", "path", "-S")
    process = start(project, PYTHONPATH=str(tmp_path / "some"))
    process.communicate(timeout=60)
    assert process.returncode == 2


def test_the_named_interpreter_has_no_stand_in(project):
    python(project / "bin", "path")
    process = start(project, STEADYFLOW_PYTHON="/no/such/python")
    assert "/no/such/python" in process.communicate(timeout=60)[1]
    assert process.returncode == 2


def test_a_signal_to_the_process_that_dvc_started_reaches_the_stage(project):
    python(project / "bin", "path")
    process = start(project, "wait")
    deadline = time.monotonic() + 60
    while process.stdout.readline().strip() != "ready":
        assert time.monotonic() < deadline
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 77


def test_stopping_while_an_interpreter_is_tried_tries_no_other(project):
    folder = project / "bin"
    folder.mkdir()
    (folder / "python").write_text("#!/bin/sh\nkill -TERM $$\n", encoding="utf-8")
    (folder / "python").chmod(0o755)
    python(project / ".venv" / "bin", "venv")
    process = start(project)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 128 + signal.SIGTERM
