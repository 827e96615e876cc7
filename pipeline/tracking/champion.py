"""The model that is served: a model folder in MLflow's registry, under the alias ``champion`` of its task."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.errors import TrackingError
from pipeline.tracking.client import import_mlflow, one_line, open_client
from pipeline.tracking.run import Run
from pipeline.tracking.store import tracking_uri

ALIAS = "champion"
LOADER = "pipeline.inference.served"  # in it MLflow finds how a model folder is loaded
# What a request may say beside its pictures (type, default; None: what `steadyflow sample` would take), and an answer.
PARAMS = {"seed": ("long", 10), "temperature": ("double", None), "draws": ("long", None)}
ANSWER = {"name": "string", "image": "string", "nonfinite_values": "long", "outside_values": "long"}
_REQUIREMENTS = ("torch", "safetensors", "numpy", "pillow")
_HASH_TAG = "steadyflow.weights_sha256"


def crown(root: Path, run: Run, name: str, model: Path, weights_sha256: str, configured: str = "auto") -> str:
    """Register the folder ``model`` of ``run`` as ``name`` and call it the champion; return its version.

    A version with the same weights of the same run is taken up again. Raises TrackingError if the server does not
    answer or refuses.
    """
    run.flush()
    if run.run_id is None:
        raise TrackingError("the tracking server does not answer, so nothing can be registered; try again later")
    try:
        client, _ = open_client(tracking_uri(root, configured))
        found = _registered(client, name, run.run_id, weights_sha256)
        if found is None:
            found = _register(client, name, run.run_id, model, weights_sha256)
        client.set_registered_model_alias(name, ALIAS, found)
    except import_mlflow().MlflowException as error:
        raise TrackingError(f"MLflow does not register {name}: {one_line(error)}") from None
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
    draws = types.Schema([types.ColSpec(kind, column) for column, kind in ANSWER.items()])
    params = types.ParamSchema([types.ParamSpec(name, kind, default) for name, (kind, default) in PARAMS.items()])
    requirements = [f"{name}=={version(name)}" for name in _REQUIREMENTS]
    mlflow.pyfunc.save_model(
        folder,
        loader_module=LOADER,
        data_path=str(model),
        signature=mlflow.models.ModelSignature(pictures, draws, params),
        pip_requirements=requirements,
    )
