"""Trainings of the smoke profile that something happens to, and what is left of them.

Used by tests/pipeline/training/test_faults.py at chosen moments, and by benchmarks/faults.py at random ones.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from smoke_project import ROOT, TASK, command, copy_project, edit_params
from tracking_store import points

from pipeline.errors import SteadyflowError
from pipeline.experiment import Experiment
from pipeline.files import read_csv, sha256_of
from pipeline.layout import variant_folder
from pipeline.params import load_params
from pipeline.tracking.client import open_client, search
from pipeline.tracking.experiments import open_experiment
from pipeline.tracking.store import tracking_uri
from pipeline.training.checkpoints import CheckpointStore

STEPS, PAUSE, PATIENCE = 60, 0.4, 300.0  # steps, seconds between two checkpoints, seconds until a training is given up
_LATEST = "checkpoint.pt"
# Runs a stage whose clock jumps back or forth by up to ten days every now and then.
_JUMPING = """
import random, runpy, sys, time
true, seed = time.time, random.Random(sys.argv.pop(1))
def jumping():
    return true() + 86_400 * seed.choice((-10, -1, 0, 0, 0, 1, 10))
time.time = jumping
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def make_trained(source: Path, folder: Path, workers: int = 0, **runtime) -> Path:
    """Copy the pretrained project ``source`` to ``folder``, to be trained on ``workers`` workers."""
    copy_project(source, folder)
    if (source / "mlflow.db").exists():
        shutil.copy(source / "mlflow.db", folder)

    def change(params):
        params["profiles"]["smoke"][TASK]["training"]["steps"] = STEPS
        params["runtime"] |= {"workers": workers, "checkpoint_seconds": PAUSE, "hang_seconds": 12.0, **runtime}

    edit_params(folder, change)
    return folder


def start(folder: Path, clock: int | None = None, **environment: str) -> subprocess.Popen:
    """Start the training of ``folder``; its standard error goes to ``folder/errors``. ``clock``: a seed of jumps."""
    line = command("train")
    if clock is not None:
        line = [line[0], "-c", _JUMPING, str(clock), *line[2:]]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    with (folder / "errors").open("ab") as errors:
        return subprocess.Popen(
            line, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )


def ended(process: subprocess.Popen) -> int:
    """Return the exit code of a training; one that hangs is killed, and raises TimeoutExpired."""
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def store_of(folder: Path) -> Path | None:
    """Return the folder of the training's checkpoints and journal, once it is there."""
    return next(iter((folder / ".runs").glob(f"{TASK}-affine-*")), None)


def step_saved(folder: Path) -> int:
    """Return the step of the newest checkpoint that can be read; 0 if there is none."""
    store = store_of(folder)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SteadyflowError):
        state = store and CheckpointStore(store).load(torch.device("cpu"))
        return state["step"] if state else 0
    return 0


def has_ended(folder: Path) -> bool:
    """Return whether whoever asked for the training has its results."""
    store = store_of(folder)
    return store is not None and CheckpointStore(store).done


def wait_for_step(folder: Path, step: int, process: subprocess.Popen) -> None:
    """Wait until step ``step`` is saved."""
    until = time.monotonic() + PATIENCE
    while step_saved(folder) < step:
        assert process.poll() is None, (folder / "errors").read_text()
        assert time.monotonic() < until
        time.sleep(0.05)


def step_logged(folder: Path) -> int:
    """Return the newest step that the training's journal tells of; 0 before the first."""
    return max((one["step"] for one in _losses(folder)), default=0)


def steps_repeated(folder: Path) -> list[int]:
    """Return the steps that were trained twice.

    The journal keeps what is logged of a step first, the curve what was trained last; the seconds since the training's
    start, which both hold, are the same where that is one and the same.
    """
    first = {one["step"]: one["values"]["train/seconds"] for one in _losses(folder)}
    rows = read_csv(variant_folder(folder, TASK, "affine", 10) / "training" / "curve.csv")
    return [int(row["step"]) for row in rows if float(row["seconds"]) != first[int(row["step"])]]


def _losses(folder: Path) -> list[dict]:
    """Return what the journal has of the loss; a line that is just being written, or was cut off, is left out."""
    store = store_of(folder)
    if not (store and (store / "tracking.jsonl").exists()):
        return []
    events = []
    for line in (store / "tracking.jsonl").read_bytes().splitlines():
        with contextlib.suppress(ValueError):
            events.append(json.loads(line))
    return [one for one in events if "train/nll" in one.get("values", {})]


@dataclasses.dataclass(frozen=True)
class Left:
    """What a training left: the hash of its weights, its metrics as MLflow has them, and its runs' states."""

    weights: str
    metrics: list[tuple[int, float]]
    runs: list[str]


def left(folder: Path, uri: str | None = None) -> Left:
    """Return what there is, after the run was opened once more as the next stage does, at ``uri`` or as before."""
    if uri is not None:
        edit_params(folder, lambda params: params["runtime"].update(tracking_uri=uri))
    experiment = Experiment.of(load_params(folder / "params.yaml"), TASK, 10, "affine")
    model = variant_folder(folder, TASK, "affine", 10) / "model"
    key = json.loads((model / "config.json").read_text())["run_key"]
    with contextlib.redirect_stdout(io.StringIO()), open_experiment(folder, experiment, key, "evaluate"):
        pass
    client, number = open_client(tracking_uri(folder, experiment.runtime.tracking_uri))
    runs = list(search(client, number, ""))
    found = [point for run in runs for point in points(client, run, "train/nll")]
    return Left(sha256_of(model / "weights.safetensors"), sorted(found), [run.info.status for run in runs])


# What happens: each takes the process and its folder, at a moment that somebody else chose.


def send(number: int) -> Callable[[subprocess.Popen, Path], None]:
    """Return what sends a signal to the stage alone."""
    return lambda process, folder: process.send_signal(number)


def to_child(name: str, number: int) -> Callable[[subprocess.Popen, Path], None]:
    """Return what sends a signal to one of Ray's processes whose command line holds ``name``, if there is one."""

    def disturb(process: subprocess.Popen, folder: Path) -> None:
        with contextlib.suppress(psutil.Error):
            found = [one for one in psutil.Process(process.pid).children(recursive=True) if _is(one, name)]
            if found:
                random.choice(found).send_signal(number)

    return disturb


def _is(process: psutil.Process, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return name in " ".join(process.cmdline())
    return False


def damage(change: Callable[[bytes, random.Random], bytes]) -> Callable[[subprocess.Popen, Path], None]:
    """Return what kills the stage and changes the bytes of its newest checkpoint, if there is one."""

    def disturb(process: subprocess.Popen, folder: Path) -> None:
        process.kill()
        process.wait()
        store = store_of(folder)
        if store and (store / _LATEST).exists():
            content = (store / _LATEST).read_bytes()
            (store / _LATEST).write_bytes(change(content, random.Random(time.monotonic_ns())))

    return disturb


def truncated(content: bytes, rng: random.Random) -> bytes:
    """Return the beginning."""
    return content[: rng.randrange(len(content))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Return it with one bit flipped."""
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = 48) -> Iterator[None]:
    """In this block, ``folder/.runs`` is a disk of its own; PermissionError where none can be mounted."""
    place = folder / ".runs"
    place.mkdir(exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(place)]
    if sys.platform != "linux" or subprocess.run(line, capture_output=True, check=False).returncode:
        raise PermissionError(f"no disk can be mounted at {place}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill_disk(process: subprocess.Popen, folder: Path) -> None:
    """Write into ``folder/.runs`` until it takes no more, and wait for the training's end."""
    with (folder / ".runs" / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(bytes(4096)):
            pass
    ended(process)


def empty_disk(folder: Path) -> None:
    """Make room again."""
    (folder / ".runs" / "ballast").unlink(missing_ok=True)
