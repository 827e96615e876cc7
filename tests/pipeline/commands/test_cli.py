"""The command line: quick to start, one line for wrong use, the exit code of what it ran, signals passed on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import ROOT, steadyflow

from pipeline import cli, timings
from pipeline.repro import with_dvc

HEAVY = ("torch", "mlflow", "ray", "matplotlib", "lpips", "albumentations", "skimage", "dvc", "numpy")
# A pipeline of one stage that waits until it is told to stop, as the training stage does.
STAGE = """
import os, signal, sys, time
from pathlib import Path
from pipeline.console import run_main
from pipeline.errors import ConfigError, Interrupted

def stop(signum, frame):
    raise Interrupted("saved")

def main():
    mode = Path("mode").read_text()
    if mode == "mistake":
        raise ConfigError("params.yaml: the stage's own line")
    if mode == "crash":
        raise RuntimeError("a fault of ours")
    if mode == "wait":
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        Path("started").touch()
        time.sleep(60)
    Path("result").write_text(sys.executable)

run_main(main)
"""
RUN = """
import sys
from pathlib import Path
from pipeline.config import RuntimeConfig
from pipeline.console import run_main
from pipeline.repro.run import run
from pipeline.repro.with_dvc import parsed

def main():
    chosen = parsed(sys.argv[1:])
    sys.exit(2 if chosen is None else run(Path.cwd(), chosen, 2, RuntimeConfig()))

run_main(main)
"""


def test_building_the_parser_loads_nothing_heavy():
    code = "import sys; from pipeline.cli import build_parser; build_parser()"
    code += f"; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_lists_every_command():
    done = steadyflow("--help")
    assert done.returncode == 0
    commands = [
        "repro",
        "check",
        "check-data",
        "check-paper",
        "verify",
        "summary",
        "ui",
        "sample",
        "evaluate",
        "stability",
        "study",
        "shield",
        "import",
        "champion",
        "papers",
        "ratings",
        "search",
    ]
    for command in commands:
        assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["repr"], "'repr'"),
        (["ui", "--port", "no"], "--port"),
        (["ui", "--port", "70000"], "70000"),
        (["check", "--bad"], "--bad"),
        (["sample", "--model", "m"], "--input"),
        (["sample", "--model", "m", "--input", "i", "--draws", "0"], "--draws"),
        (["sample", "--model", "m", "--input", "i", "--temperature", "nan"], "--temperature"),
        (["evaluate", "--model", "m", "--out", "o"], "--reference"),
        (["stability", "--model", "m"], "--out"),
        (["stability", "--model", "m", "--out", "o", "--analyses", " ,"], "--analyses"),
        (["study"], "NAME"),
        (["search"], "NAME"),
        (["search", "clasifier"], "did you mean 'classifier'"),
        (["study", "toy3d", "--out", "o"], "'toy3d'"),
        (["study", "toy2d"], "--out"),
        (["study", "toy2d", "--out", "o", "--seeds", "two"], "--seeds"),
        (["study", "toy2d", "--out", "o", "--seeds", "0"], "--seeds"),
        (["study", "toy2d", "--out", "params.yaml"], "params.yaml"),
        (["check-paper", "--batch", "0"], "--batch"),
        (["check-paper", "--profile", "papper"], "did you mean 'paper'"),
        (["check-paper", "--variant", "afine"], "did you mean 'affine'"),
    ],
)
def test_wrong_use_is_one_line(arguments, said):
    done = steadyflow(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def one_line(done):
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("command", ["check", "repro", "summary"])
def test_outside_of_a_project(tmp_path, command):
    assert "params.yaml is missing" in one_line(steadyflow(command, cwd=tmp_path))


def test_check_accepts_the_committed_file():
    done = steadyflow("check")
    assert done.returncode == 0
    assert "rq_spline" in done.stdout
    assert "df2k_x4: df2k from demo" in done.stdout


@pytest.mark.parametrize("command", ["check", "repro"])
def test_unknown_key(tmp_path, command):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("\nseeds:", "\nseads:"), encoding="utf-8")
    assert "did you mean 'seeds'" in one_line(steadyflow(command, cwd=tmp_path))


def test_check_names_a_missing_source(tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("{source: demo}", "{source: /no/such}"), encoding="utf-8")
    assert "/no/such" in one_line(steadyflow("check", cwd=tmp_path))


@pytest.mark.parametrize(
    ("arguments", "module", "function", "given"),
    [
        (["ui", "--port", "5001"], "pipeline.tracking.ui", "serve_ui", ("ROOT", "127.0.0.1", 5001, "auto")),
        (
            ["sample", "--model", "m", "--input", "i.png"],
            "pipeline.inference.restore",
            "restore_file",
            (Path("m"), Path("i.png"), Path("restored"), None, None, 10, None),
        ),
        (
            ["stability", "--model", "m", "--out", "o"],
            "pipeline.commands.audit",
            "audit_model",
            (Path("m"), Path("o"), None, None, None),
        ),
        (
            ["stability", "--model", "m", "--out", "o", "--analyses", "bad_pixels, growth", "--inputs", "mine"],
            "pipeline.commands.audit",
            "audit_model",
            (Path("m"), Path("o"), None, ["bad_pixels", "growth"], Path("mine")),
        ),
        (
            ["evaluate", "--model", "m", "--reference", "r", "--input", "i", "--out", "o", "--draws", "3"],
            "pipeline.commands.evaluation",
            "evaluate_model",
            (Path("m"), Path("r"), Path("i"), Path("o"), 3, None, 10, "floor", None),
        ),
    ],
)
def test_commands_call_the_pipeline(tmp_path, monkeypatch, arguments, module, function, given):
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["steadyflow", *arguments])
    monkeypatch.setattr("pipeline.console.quiet_libraries", lambda: None)  # it would silence later tests
    got = []
    monkeypatch.setattr(f"{module}.{function}", lambda *values, **named: got.extend([*values, *named.values()]) or [])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    assert got == [tmp_path if value == "ROOT" else value for value in given]


@pytest.fixture
def project(tmp_path):
    """Return a function that starts ``steadyflow``'s DVC in a project of one stage."""
    stages = tmp_path / "stages"
    stages.mkdir()
    (stages / "__init__.py").touch()
    (stages / "one.py").write_text(STAGE, encoding="utf-8")
    shutil.copy(ROOT / "stages" / "run", stages / "run")
    (tmp_path / "mode").write_text("", encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  one:\n    cmd: sh stages/run one\n    deps: [stages/one.py, mode]\n    outs: [result]\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    environment["DVC_SITE_CACHE_DIR"] = str(tmp_path / "site")
    dvc = [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"]
    subprocess.run(dvc, cwd=tmp_path, env=environment, check=True)

    def start(mode, *options):
        (tmp_path / "mode").write_text(mode, encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, "-c", RUN, *options],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def wait_until(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


def test_a_stage_runs_with_this_interpreter_and_is_timed_once(project, tmp_path):
    first = project("")
    out, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    assert "Running stage 'one'" in out
    assert "dvc push" not in out and "git add" not in out
    assert Path((tmp_path / "result").read_text(encoding="utf-8")).parent == Path(sys.executable).parent
    ((stage, seconds),) = timings.since(tmp_path, 0)
    assert stage == "one"
    assert seconds > 0
    position = timings.position(tmp_path)
    again = project("")
    assert again.communicate(timeout=60) == ("", "")
    assert again.returncode == 0
    assert timings.since(tmp_path, position) == []


@pytest.mark.parametrize(
    ("mode", "code", "lines"),
    [
        ("mistake", 2, ["error: params.yaml: the stage's own line"]),
        ("crash", 1, ["RuntimeError: a fault of ours", "failed to reproduce 'one'"]),
    ],
)
def test_a_failed_stage(project, mode, code, lines):
    process = project(mode)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    for line in lines:
        assert line in errors
    if code == 2:
        assert errors.splitlines() == lines


def test_unknown_option_of_dvc(project):
    process = project("", "--nonsense")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert errors.splitlines() == ["ERROR: unrecognized arguments: --nonsense"]


@pytest.mark.parametrize(
    ("signum", "send"),
    [(number, send) for number in (signal.SIGTERM, signal.SIGINT) for send in (os.kill, os.killpg)],
)
def test_told_to_stop_waits_for_the_stage(project, tmp_path, signum, send):
    process = project("wait")
    wait_until(tmp_path / "started")
    send(process.pid, signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "stopped: saved" in errors


def test_goes_on_after_sigkill(project, tmp_path):
    process = project("wait")
    wait_until(tmp_path / "started")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    after = project("")
    _, errors = after.communicate(timeout=60)
    assert after.returncode == 0, errors
    assert (tmp_path / "result").exists()


def test_locks_of_the_dead_are_dropped_and_others_kept(tmp_path):
    lock = tmp_path / "rwlock"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    alive = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dvc", "repro"])
    try:
        time.sleep(0.5)  # a zombie now: it has ended and nobody has asked for its code
        for process, stays in ((dead, False), (alive, True)):
            lock.write_text(f'{{"write": {{"x": {{"pid": {process.pid}, "cmd": "dvc repro"}}}}}}', encoding="utf-8")
            with_dvc.drop_stale_locks(lock)
            assert lock.exists() == stays
    finally:
        alive.kill()
        alive.wait()
        dead.wait()
