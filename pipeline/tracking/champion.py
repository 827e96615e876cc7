"""The model that is served: a model folder in MLflow's registry, under the alias ``champion`` of its task."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.errors import TrackingError
from pipeline.experiment import Experiment
from pipeline.files import sha256_of
from pipeline.inference import served
from pipeline.model_folder import WEIGHTS
from pipeline.tracking.client import import_mlflow, named_errors, open_client
from pipeline.tracking.experiments import open_experiment
from pipeline.tracking.store import tracking_uri

ALIAS = "champion"
# What a request may say beside its pictures (type, default; None: what `steadyflow sample` would take), and an answer.
_PARAMS = {"seed": ("long", served.SEED), "temperature": ("double", None), "draws": ("long", None)}
_ANSWER = {"name": "string", "image": "string", **dict.fromkeys(served.COUNTS, "long")}
_REQUIREMENTS = ("torch", "safetensors", "numpy", "pillow")
_HASH_TAG = "steadyflow.weights_sha256"


def crown(root: Path, experiment: Experiment, run_key: str, model: Path) -> str:
    """Register the model folder of the run with ``run_key`` under its task, and call it the champion.

    Return its version; one with the same weights of the same run is taken up again. Raises TrackingError if the server
    does not answer or refuses.
    """
    name, weights_sha256 = experiment.task, sha256_of(model / WEIGHTS)
    with named_errors(f"MLflow does not answer, so {experiment.name} is not registered"):
        client, _ = open_client(tracking_uri(root, experiment.runtime.tracking_uri))
    with open_experiment(root, experiment, run_key, "champion") as run:
        run.flush()
    if run.run_id is None:
        raise TrackingError(f"MLflow takes no runs, so {experiment.name} is not registered; try again later")
    with named_errors(f"MLflow does not register {name}"):
        found = _registered(client, name, run.run_id, weights_sha256)
        if found is None:
            found = _register(client, name, run.run_id, model, weights_sha256)
        client.set_registered_model_alias(name, ALIAS, found)
    return found


def _registered(client: Any, name: str, run_id: str, weights_sha256: str) -> str | None:
    versions = client.search_model_versions(f"name = '{name}'")
    same = [one for one in versions if one.run_id == run_id and one.tags.get(_HASH_TAG) == weights_sha256]
    return str(max(int(one.version) for one in same)) if same else None


def _register(client: Any, name: str, run_id: str, model: Path, weights_sha256: str) -> str:
    if not client.search_registered_models(f"name = '{name}'"):
        about = f"Flows of the task {name}; `{ALIAS}` is the one that is served."
        client.create_registered_model(name, description=about)
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / f"{ALIAS}-{weights_sha256[:12]}"  # never over the files of another version
        _pack(packed, model)
        client.log_artifacts(run_id, str(packed), packed.name)
    made = client.create_model_version(name, f"runs:/{run_id}/{packed.name}", run_id, {_HASH_TAG: weights_sha256})
    return str(made.version)


def _pack(folder: Path, model: Path) -> None:
    """Write ``model`` as a pyfunc: the folder itself, the name of its loader, and the signature."""
    mlflow = import_mlflow()
    types = mlflow.types
    pictures = types.Schema([types.ColSpec("string", "image"), types.ColSpec("string", "name", required=False)])
    draws = types.Schema([types.ColSpec(kind, column) for column, kind in _ANSWER.items()])
    params = types.ParamSchema([types.ParamSpec(name, kind, default) for name, (kind, default) in _PARAMS.items()])
    requirements = [f"{name}=={version(name)}" for name in _REQUIREMENTS]
    mlflow.pyfunc.save_model(
        folder,
        loader_module=served.__name__,
        data_path=str(model),
        signature=mlflow.models.ModelSignature(pictures, draws, params),
        pip_requirements=requirements,
    )
