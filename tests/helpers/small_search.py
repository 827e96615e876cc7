"""A search over tiny classifiers of digits in a folder of its own; also a command, to be killed."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import yaml

from pipeline.config import Params, RuntimeConfig
from pipeline.files import read_csv, read_json
from pipeline.searches.running import run_search
from pipeline.studies.searches import study_space

CONTENT = yaml.safe_load((Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8"))
BASE = {"depth": 1, "width": 4, "batch": 8, "steps": 4, "every": 2, "points": 2, "pictures": 1}
# one that does not come to its end: the second loss is not finite
GRIDS = [{"regularizer, weight": [["none", 0.0], ["fd", 0.01], ["nf", 0.001]]}, {"learning_rate": [1e30]}]
METRICS = {"accuracy": "max", "condition_worst": "min"}


def params_with(**search) -> Params:
    """Return the committed params at profile smoke with the one search ``own``."""
    config = {"study": "classifier", "base": BASE, "grids": GRIDS, "metrics": METRICS, "within": 1.0, **search}
    content = copy.deepcopy(CONTENT) | {"profile": "smoke", "searches": {"studies": {"own": config}}}
    return Params.model_validate(content)


def run_in(folder: Path, trials: int = 2, **search):
    """Return the page; results are in ``folder``/out."""
    runtime = RuntimeConfig(trials=trials, device="cpu", log_every=1, checkpoint_seconds=0.0)
    return run_search(study_space("own", params_with(**search)), folder, runtime, folder / "out")


def table(folder: Path) -> list[dict[str, str]]:
    return read_csv(folder / "out" / "trials.csv")


def values(folder: Path) -> list[dict]:
    """Return all numbers of all trials; times left out."""
    found = read_json(folder / "out" / "trials.json")["trials"]
    return [{name: one[name] for name in ("place", "status", "values", "reasons")} for one in found]


if __name__ == "__main__":
    run_in(Path(sys.argv[1]), int(sys.argv[2]), **json.loads(sys.argv[3]))
