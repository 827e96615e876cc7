"""A preparation that is killed at any moment, and started again, ends byte for byte as an undisturbed one."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

TASK, REPOSITORY = "df2k_x4", Path(__file__).resolve().parents[3]
SIDE, SHARD_BYTES = 64, 150_000  # a few dozen shards


def make_source(folder, count):
    """Write ``count`` different parts of real photographs under the published names of DF2K."""
    from pipeline.datasets.catalogue import DATASETS

    generator = np.random.default_rng(0)
    photographs = [
        np.asarray(Image.open(p.content).convert("RGB")) for p in DATASETS["df2k"].demo().pictures if p.id != "ihc"
    ]
    held_out = count // 20
    names = [f"DIV2K_valid_HR/{n:04d}.png" for n in range(801, 801 + held_out)]
    names += [f"DIV2K_train_HR/{n:04d}.png" for n in range(1, 1 + min(800, count - held_out))]
    names += [f"Flickr2K_HR/{n:06d}.png" for n in range(1, 1 + count - len(names))]
    for number, name in enumerate(names):
        photograph = photographs[number % len(photographs)]
        top, left = (int(generator.integers(size - SIDE)) for size in photograph.shape[:2])
        part = photograph[top : top + SIDE, left : left + SIDE].astype(int)
        noisy = np.clip(part + generator.integers(-2, 3, part.shape), 0, 255).astype(np.uint8)  # no two are equal
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # Some are converted: the notes about them have to survive the interruption as well.
        Image.fromarray(noisy).convert("L" if number % 10 == 3 else "RGB").save(folder / name)


def run_trials(source, work, trials, seed):
    """Prepare undisturbed, then ``trials`` times with a kill in between; print what was found as JSON.

    Runs in a process of its own that has no threads, so that it may fork: the imports are then paid for once.
    """
    from pipeline.config import Params
    from pipeline.datasets.prepare import prepare

    raw = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    raw["profile"] = "smoke"
    raw["datasets"]["df2k"] = {"source": source, "allow_partial": True}
    params = Params.model_validate(raw)

    def start(root):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            prepare(TASK, params, root, shard_bytes=SHARD_BYTES)
            os._exit(0)
        return child

    def content(root):
        folder = root / "data" / "prepared" / TASK
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}

    began = time.monotonic()
    assert os.waitpid(start(Path(work, "whole")), 0)[1] == 0
    seconds = time.monotonic() - began
    whole = content(Path(work, "whole"))
    moments, found = random.Random(seed), []
    # A kill may come too late, or before anything is stored: more are tried then, though not for ever.
    while (sum(t["killed"] for t in found) < trials or not any(t["kept"] for t in found)) and len(found) < 6 * trials:
        root = Path(work, f"trial-{len(found)}")
        child = start(root)
        time.sleep(moments.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        kept = len(list(root.glob("data/prepared/.*/prepared/shard-*.bin")))
        visible = Path(root, "data", "prepared", TASK).exists()
        again = os.waitpid(start(root), 0)[1]
        left = sorted(path.name for path in root.joinpath("data", "prepared").iterdir())
        same = again == 0 and content(root) == whole
        found.append({"killed": killed, "kept": kept, "visible": visible, "same": same, "left": left})
    print(json.dumps({"shards": len(whole) - 1, "seconds": seconds, "trials": found}))


@pytest.mark.parametrize(
    ("pictures", "trials"), [(160, 3), pytest.param(1000, 10, marks=pytest.mark.slow)], ids=["few", "thousand"]
)
def test_a_killed_preparation_ends_as_an_undisturbed_one(pictures, trials, tmp_path):
    make_source(tmp_path / "DF2K", pictures)
    call = f"run_trials({str(tmp_path / 'DF2K')!r}, {str(tmp_path / 'work')!r}, {trials}, {pictures})"
    ran = subprocess.run(
        [sys.executable, "-c", f"from test_interrupted_prepare import run_trials; {call}"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)])},
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    print(found)
    assert found["shards"] > 5
    assert sum(trial["killed"] for trial in found["trials"]) >= trials
    assert any(0 < trial["kept"] < found["shards"] for trial in found["trials"])
    for trial in found["trials"]:
        assert trial["same"]
        assert trial["left"] == [TASK]  # nothing half-made beside it
        assert not (trial["visible"] and trial["kept"])  # what can be seen is whole
