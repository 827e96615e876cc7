"""MLflow's client, opened so that what is broken fails within seconds; the only file that imports mlflow."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import TrackingError
from pipeline.layout import runs_beside
from pipeline.tracking.journal import locked
from pipeline.tracking.store import (
    EXPERIMENT,
    artifact_location,
    check_database,
    follow_move,
    sqlite_file,
    without_password,
)

# A dead server must cost seconds; MLflow's own defaults add up to minutes.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def import_mlflow() -> Any:
    """Import mlflow (seconds) without its log lines and telemetry."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow
    import mlflow.entities

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is said by us, in a line, without a traceback
    return mlflow


def open_client(uri: str) -> tuple[Any, str]:
    """Return (client, id of our experiment); a new data base is made by one process at a time.

    Raises TrackingError or what MLflow raises if ``uri`` does not answer.
    """
    mlflow = import_mlflow()
    database = sqlite_file(uri)
    if database is None:
        client = mlflow.MlflowClient(uri)
        return client, _experiment(client, None)
    runs = runs_beside(database)
    with locked(runs / "mlflow.lock"):
        if not check_database(database):
            _make_database(database, runs)
        client = mlflow.MlflowClient(uri)
        follow_move(database)
        return client, _experiment(client, artifact_location(database))


@contextlib.contextmanager
def named_errors(what: str) -> Iterator[None]:
    """Raise TrackingError, ``what`` and the reason in a line, for what MLflow raises in the block."""
    try:
        yield
    except import_mlflow().MlflowException as error:
        raise TrackingError(f"{what}: {one_line(error)}") from None


def bad_request(text: str) -> Exception:
    """Return what a served model raises for a wrong request: status 400 with ``text`` alone.

    MLflow would put the whole request before the message of an exception of its own, and a traceback beside others.
    """
    exceptions: Any = import_mlflow().exceptions

    class BadRequest(exceptions.MlflowException):
        message = property(lambda self: text, lambda self, longer: None)

    return BadRequest(text, error_code=exceptions.BAD_REQUEST)


def search(client: Any, experiment: str, query: str) -> Iterator[Any]:
    """Yield every run that fits ``query``; MLflow itself gives a thousand at a time."""
    token = None
    while True:
        page = client.search_runs([experiment], query, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def safe_name(name: str) -> str:
    """Return ``name`` with what MLflow or a path would choke on replaced."""
    parts = re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII).split("/")
    return "/".join(part for part in parts if part.strip(". "))


def one_line(error: Exception) -> str:
    """Return an error's text as one short line without passwords."""
    text = without_password(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def being_made(uri: str) -> bool:
    """Return whether a process makes the data base of ``uri``, which takes MLflow seconds, or was killed at it."""
    database = sqlite_file(uri)
    return database is not None and any(_unfinished(database, runs_beside(database)))


def _unfinished(database: Path, scratch: Path) -> Iterator[Path]:
    return scratch.glob(f"{database.name}.*.new")


def _make_database(database: Path, scratch: Path) -> None:
    """Make a data base in ``scratch`` and move it: MLflow can do nothing with one whose making was cut short."""
    for left in _unfinished(database, scratch):
        left.unlink()
    # A name that was never used: MLflow remembers connections by name.
    fresh = scratch / f"{database.name}.{uuid.uuid4().hex}.new"
    client = import_mlflow().MlflowClient(f"sqlite:///{fresh}")
    _experiment(client, artifact_location(database))
    fresh.replace(database)


def _experiment(client: Any, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        # The tag opens MLflow's page in its view for model training.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(EXPERIMENT, artifacts, tags))
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"experiment '{EXPERIMENT}' is deleted; `mlflow experiments restore --experiment-id "
            f"{found.experiment_id}` brings it back"
        )
    return str(found.experiment_id)
