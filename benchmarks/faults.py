"""What unlucky moments cost a training: each fault several times at random moments, on the smoke profile.

    python benchmarks/faults.py --tries 10                  # about an hour and a half on two cores
    python benchmarks/faults.py --tries 3 --only worker,node

Prints the table of docs/faults.md. A try: a training of 60 steps, a checkpoint every 0.4 s, disturbed when a step is
logged that is drawn evenly from all of them; of every fifth try, at a moment drawn evenly from the seconds that an
undisturbed one takes until its first step, which is mostly imports. If the stage ended by it, the same command is given
again, unless the results were there already.
Compared with the undisturbed training:

- lost: steps between the newest checkpoint that could be read after the fault and the step that was gone on from
- repeated: the most steps that were trained twice, which is how far the newest checkpoint lay back
- weights: tries that ended with the same bytes
- metrics lost: points of the loss that MLflow does not have, or has otherwise
- runs: runs of MLflow beyond the one, or one that is not FINISHED
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")

import faults
import two_nodes
from mlflow_server import free_port, serving
from smoke_project import make_project, succeed

from pipeline.tracking.client import open_client
from pipeline.tracking.store import tracking_uri

Disturb = Callable[[subprocess.Popen, Path], None]


@dataclasses.dataclass(frozen=True)
class Fault:
    """``disturb`` at a random moment of a training of ``workers`` workers (0: in the stage's process)."""

    name: str
    disturb: Disturb
    workers: int = 0
    mend: Callable[[Path], None] = lambda folder: None  # before the same command is given again


FAULTS = {
    "kill": Fault("SIGKILL of the stage", faults.send(signal.SIGKILL)),
    "term": Fault("SIGTERM to the stage (preemption notice)", faults.send(signal.SIGTERM)),
    "int": Fault("SIGINT to the stage", faults.send(signal.SIGINT)),
    "truncated": Fault("SIGKILL, newest checkpoint truncated", faults.damage(faults.truncated)),
    "flipped": Fault("SIGKILL, a bit of the newest checkpoint flipped", faults.damage(faults.flipped)),
    "disk": Fault("full disk", faults.fill_disk, mend=faults.empty_disk),
    "clock": Fault("clock jumps by days, back and forth", lambda process, folder: None),
    "late": Fault("MLflow down at the start", lambda process, folder: None),
    "between": Fault("MLflow killed and started again", lambda process, folder: None),
    "gone": Fault("MLflow killed for good, another one later", lambda process, folder: None),
    "worker": Fault("SIGKILL of a worker", faults.to_child("RayTrainWorker", signal.SIGKILL), 2),
    "raylet": Fault("SIGKILL of Ray's raylet", faults.to_child("raylet/raylet", signal.SIGKILL), 2),
    "hang": Fault("a worker hangs (SIGSTOP)", faults.to_child("RayTrainWorker", signal.SIGSTOP), 2),
    "driver": Fault("SIGKILL of the driver of two workers", faults.send(signal.SIGKILL), 2),
    "notice": Fault("SIGTERM to the driver of two workers", faults.send(signal.SIGTERM), 2),
    "node": Fault("SIGKILL of one of two nodes, another one later", lambda process, folder: None, 2),
}


@dataclasses.dataclass
class Row:
    """What the tries of a fault came to."""

    tries: int = 0
    lost: int = 0
    repeated: int = 0
    equal: int = 0
    metrics: int = 0
    runs: int = 0
    said: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def surroundings(key: str, folder: Path, stack: contextlib.ExitStack) -> tuple[Disturb, dict[str, str], str | None]:
    """Set up what a fault needs; return how to disturb, the stage's environment, and where its metrics end up."""
    disturb, environment, uri = FAULTS[key].disturb, {}, None
    if key == "disk":
        stack.enter_context(faults.small_disk(folder))
    if key == "node":
        cluster = stack.enter_context(two_nodes.cluster())
        return (lambda process, where: cluster.replace_node()), cluster.environment, None
    if key in ("late", "between", "gone"):
        port = free_port()
        environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
        server = serving(folder, port)
        if key != "late":
            stack.enter_context(server)

        def disturb(process: subprocess.Popen, where: Path) -> None:
            server.kill()
            if key != "gone":
                time.sleep(2 if key == "between" else 0)
                stack.enter_context(server)

        uri = "auto" if key == "gone" else environment["MLFLOW_TRACKING_URI"]
    return disturb, environment, uri


@dataclasses.dataclass(frozen=True)
class Usual:
    """What an undisturbed training leaves, and its seconds until its first step."""

    left: faults.Left
    before: float


def attempt(key: str, folder: Path, base: Path, share: float, usual: Usual, row: Row) -> None:
    """Train in ``folder``, disturbed after this share of its steps, and write down what it came to."""
    fault = FAULTS[key]
    faults.make_trained(base, folder, fault.workers)
    with contextlib.ExitStack() as stack:
        disturb, environment, uri = surroundings(key, folder, stack)
        process = faults.start(folder, clock=row.tries if key == "clock" else None, **environment)
        if row.tries % 5 == 4:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(share * usual.before)
        else:
            wait_for_log(folder, round(share * faults.STEPS), process)
        if process.poll() is None or uri:  # a server is started again also where the training ended before
            disturb(process, folder)
        saved = faults.step_saved(folder)
        code = faults.ended(process)
        fault.mend(folder)
        if code and not faults.has_ended(folder):
            saved = faults.step_saved(folder)
            assert faults.ended(faults.start(folder, **environment)) == 0, (folder / "errors").read_text()
        found, again = faults.left(folder, uri), faults.steps_repeated(folder)
    row.tries += 1
    row.lost += max(0, saved - again[0] + 1) if again else 0
    row.repeated = max(row.repeated, again[-1] - again[0] + 1 if again else 0)
    row.equal += found.weights == usual.left.weights
    row.metrics += len(set(usual.left.metrics) ^ set(found.metrics)) + len(found.metrics) - len(set(found.metrics))
    row.runs += len(found.runs) - 1 + sum(state != "FINISHED" for state in found.runs)
    lines = {re.sub(r"\S*/\S+", "PATH", re.sub(r"\d+", "N", line)) for line in errors(folder)}
    row.said.update(lines or {"nothing"})


def wait_for_log(folder: Path, step: int, process: subprocess.Popen) -> None:
    """Wait until a step as late as ``step`` is logged, or the training has ended."""
    while process.poll() is None and faults.step_logged(folder) < max(step, 1):
        time.sleep(0.01)


def errors(folder: Path) -> list[str]:
    """Return the lines that the training left on standard error."""
    return (folder / "errors").read_text(encoding="utf-8").splitlines()


def undisturbed(base: Path, folder: Path, workers: int) -> Usual:
    """Train without any fault."""
    faults.make_trained(base, folder, workers)
    start = time.monotonic()
    process = faults.start(folder)
    wait_for_log(folder, 1, process)
    before = time.monotonic() - start
    assert faults.ended(process) == 0, (folder / "errors").read_text()
    return Usual(faults.left(folder), before)


def rows(chosen: list[str], tries: int, folder: Path) -> Iterator[tuple[Fault, Row]]:
    """Yield what each fault of ``chosen`` came to."""
    base, rng = make_project(folder / "base"), random.Random(0)
    for stage in ("prepare", "pretrain"):
        succeed(base, stage, None)
    open_client(tracking_uri(base))  # migrated once for all
    usual: dict[int, Usual] = {}
    for key in chosen:
        fault, row = FAULTS[key], Row()
        if fault.workers not in usual:
            usual[fault.workers] = undisturbed(base, folder / f"usual-{key}", fault.workers)
        for number in range(tries):
            try:
                attempt(key, folder / f"{key}-{number}", base, rng.random(), usual[fault.workers], row)
            except PermissionError as error:
                print(f"{fault.name}: left out ({error})", file=sys.stderr)
                break
        else:
            yield fault, row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--tries", type=int, default=10, help="per fault (default: 10)")
    parser.add_argument("--only", default=",".join(FAULTS), help="faults, by their short names")
    arguments = parser.parse_args()
    if unknown := set(arguments.only.split(",")) - set(FAULTS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; allowed: {', '.join(FAULTS)}")
    print("| fault | tries | lost | repeated | weights equal | metrics lost | runs | what was said, tries |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for fault, row in rows(arguments.only.split(","), arguments.tries, Path(folder)):
            said = "; ".join(f"`{line}` {count}" for line, count in row.said.most_common())
            cells = (fault.name, row.tries, row.lost, row.repeated, row.equal, row.metrics, row.runs, said)
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
