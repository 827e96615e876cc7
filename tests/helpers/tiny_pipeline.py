"""A DVC project whose stages are a few lines of Python each, and runs of it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
# Each stage writes its output and notes when it began and ended.
NOTE = """
import sys, time
from pathlib import Path

def wait_for(*names):
    deadline = time.monotonic() + 60
    while not all(Path(name).exists() for name in names):
        assert time.monotonic() < deadline, f"{names} never came"
        time.sleep(0.02)

name = sys.argv[1]
with open("log", "a") as log:
    log.write(f"begin {name}\\n")
"""
END = """
Path(f"out-{name}").write_text(name)
with open("log", "a") as log:
    log.write(f"end {name}\\n")
"""
# A stage of ours that waits until it is told to stop, and saves.
WAIT = """
import signal
from pipeline.console import run_main
from pipeline.errors import Interrupted

def stop(signum, frame):
    Path(f"saved-{name}").write_text(str(signum))
    raise Interrupted(f"{name} is saved")

def main():
    if Path("wait").exists():
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        Path(f"began-{name}").touch()
        time.sleep(60)

run_main(main)
"""
DRIVE = """
import sys
from pathlib import Path
from pipeline.config import RuntimeConfig
from pipeline.console import run_main
from pipeline.repro.run import run
from pipeline.repro.with_dvc import parsed

def main():
    chosen = parsed(sys.argv[2:])
    sys.exit(2 if chosen is None else run(Path.cwd(), chosen, int(sys.argv[1]), RuntimeConfig()))

run_main(main)
"""


def make(folder, needs, code=None):
    """Make a project in which every stage of ``needs`` has the outputs of others as dependencies.

    ``code``: what a stage does before it writes its output.
    """
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n", encoding="utf-8")
    stages = {}
    for name, others in needs.items():
        (folder / f"{name}.py").write_text(NOTE + (code or {}).get(name, "") + END, encoding="utf-8")
        stages[name] = {
            "cmd": f'"{sys.executable}" {name}.py {name}',
            "deps": [f"{name}.py", *(f"out-{other}" for other in others)],
            "outs": [f"out-{name}"],
        }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False), encoding="utf-8")
    return folder


def environment(folder):
    """Return what a driver of ``folder`` is started with."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "DVC_SITE_CACHE_DIR": str(folder / ".site")}


def start(folder, jobs, *options):
    """Start a driver as a process of its own session."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVE, str(jobs), *options],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(*paths):
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, f"{paths} never came"
        time.sleep(0.05)


def log(folder):
    """Return what the stages noted, in order of time."""
    return (folder / "log").read_text(encoding="utf-8").splitlines()
