"""Signals, a killed driver, and a second run beside a live one."""

import functools
import os
import signal
import subprocess
import sys
import time

import pytest
from tiny_pipeline import ROOT, WAIT, make, start, wait_for

PAIR = {"a": [], "b": []}


@pytest.fixture
def project(tmp_path):
    """Return a project of two stages that wait, side by side, until they are told to stop."""
    folder = make(tmp_path / "project", {**PAIR, "c": ["a", "b"]}, dict.fromkeys(PAIR, WAIT))
    (folder / "wait").touch()
    return folder


def began(folder):
    process = start(folder, 2)
    wait_for(*(folder / f"began-{name}" for name in PAIR))
    return process


def goes_on(folder):
    (folder / "wait").unlink()
    process = start(folder, 2)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""
    assert (folder / "out-c").exists()
    return out


@pytest.mark.parametrize(
    ("signum", "send"), [(signal.SIGINT, os.kill), (signal.SIGTERM, os.kill), (signal.SIGINT, os.killpg)]
)
def test_both_stages_save_and_say_so(project, signum, send):
    process = began(project)
    send(process.pid, signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert sorted(errors.splitlines()) == ["stopped: a is saved", "stopped: b is saved"]
    assert not (project / "out-a").exists()


def test_stages_of_a_killed_driver_save_and_the_next_run_waits_for_them(project):
    process = began(project)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    goes_on(project)
    for name in PAIR:
        assert (project / f"saved-{name}").read_text(encoding="utf-8") == str(int(signal.SIGTERM))


def test_a_second_run_names_the_first_and_leaves_it_alone(project):
    first = began(project)
    second = start(project, 2)
    out, errors = second.communicate(timeout=60)
    assert second.returncode == 2
    assert out == ""
    (line,) = errors.splitlines()
    assert line.startswith("error: another repro is at work") and f"process {first.pid})" in line
    assert "lock" not in line
    assert first.poll() is None
    first.terminate()
    first.communicate(timeout=60)
    assert "waiting" not in goes_on(project)


def test_of_two_fresh_runs_at_once_one_works_and_the_other_says_so(project):
    both = [start(project, 2), start(project, 2)]
    wait_for(*(project / f"began-{name}" for name in PAIR))
    while all(one.poll() is None for one in both):
        time.sleep(0.05)
    worker, other = sorted(both, key=lambda one: one.poll() is not None)
    _, errors = other.communicate(timeout=60)
    assert other.returncode == 2
    (line,) = errors.splitlines()
    assert line.startswith("error: another repro is at work")
    worker.terminate()
    worker.communicate(timeout=60)
    goes_on(project)
    log = (project / "log").read_text(encoding="utf-8")
    assert all(log.count(f"end {name}\n") == 1 for name in ("a", "b", "c"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_that_is_not_ours_leaves_one_line(tmp_path, signum):
    folder = make(tmp_path, {"a": []}, {"a": 'Path("began-a").touch(); time.sleep(60)'})
    process = start(folder, 1)
    wait_for(folder / "began-a")
    os.kill(process.pid, signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines() == ["stopped: the same command goes on from there"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_stage_imports_is_one_line(tmp_path, number):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "__init__.py").write_text((ROOT / "stages" / "__init__.py").read_text(encoding="utf-8"))
    (tmp_path / "stages" / "slow.py").write_text(
        "import time\nfrom pathlib import Path\nPath('importing').touch()\ntime.sleep(60)\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "stages.slow"]
    # a shell that started the tests in the background has them ignore SIGINT
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heard)  # noqa: PLW1509
    wait_for(tmp_path / "importing")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT  # as Python ends by KeyboardInterrupt; a shell has 130
    assert errors == "stopped: the same command continues where it can\n"


def test_sigterm_to_any_command_is_one_line(tmp_path):
    code = (
        "import time\nfrom pathlib import Path\nfrom pipeline.console import run_main\n"
        "def main():\n    Path('began').touch()\n    time.sleep(60)\nrun_main(main)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "began")
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "stopped: the same command continues where it can\n"
