"""``champion``: the variant of a task that MLflow's model server answers with."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from pipeline.commands.arguments import Add
from pipeline.console import say

_PORT = 5001  # beside the page of the runs


def register(add: Add) -> None:
    """Add ``champion``."""
    champion = add("champion", _champion, "register a trained variant in MLflow as the one of its task that is served")
    champion.add_argument("--task", required=True, help="a task of params.yaml")
    champion.add_argument("--variant", required=True, help="a trained variant")
    champion.add_argument("--seed", type=int, help="default: the first of seeds in params.yaml")


def _champion(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.errors import CheckpointError
    from pipeline.experiment import Experiment
    from pipeline.layout import variant_folder
    from pipeline.model_folder import load_flow
    from pipeline.params import load_params
    from pipeline.tracking.champion import ALIAS, crown
    from pipeline.tracking.store import tracking_uri, without_password

    root, params = Path.cwd(), load_params()
    seed = params.seeds[0] if arguments.seed is None else arguments.seed
    experiment = Experiment.of(params, arguments.task, seed, arguments.variant)
    model = variant_folder(root, experiment.task, arguments.variant, seed) / "model"
    config = load_flow(model, "cpu", {"task": experiment.task, "variant": arguments.variant}).config
    if not config.run_key:
        raise CheckpointError(f"{model} was not trained here, so it has no run in MLflow; train it with `make repro`")
    version = crown(root, experiment, config.run_key, model)
    say(f"{experiment.name} is the {ALIAS} of models:/{experiment.task} (version {version})")
    address = without_password(tracking_uri(root, experiment.runtime.tracking_uri))
    python = Path(sys.executable)
    say(
        f"serve it:  PATH={shlex.quote(str(python.parent))}:$PATH MLFLOW_TRACKING_URI={shlex.quote(address)} "
        f"mlflow models serve -m models:/{experiment.task}@{ALIAS} --env-manager local --port {_PORT}"
    )
    say("requests:  docs/mlflow.md")
    return 0
