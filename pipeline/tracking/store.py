"""Where tracking goes: the folder, the tracking URI and the SQLite file beside dvc.yaml."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import TrackingError, brief
from pipeline.layout import store_root

EXPERIMENT = "steadyflow"
_BUSY_SECONDS = 5.0  # how long another process may hold the data base
_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")


def tracking_uri(root: Path, configured: str = "auto") -> str:
    """Return the tracking URI: as configured, else MLFLOW_TRACKING_URI, else mlflow.db beside dvc.yaml.

    Raises TrackingError for a scheme that MLflow cannot serve.
    """
    uri = configured if configured != "auto" else os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if _scheme(uri) not in _SCHEMES:
        raise TrackingError(
            f"runtime.tracking_uri or MLFLOW_TRACKING_URI: {brief(without_password(uri))} is no place to track runs; "
            f"allowed: auto, {', '.join(f'{allowed}://...' for allowed in _SCHEMES)}"
        )
    database = sqlite_file(uri)
    return f"sqlite:///{store_root(root) / database}" if database else uri


def _scheme(uri: str) -> str:
    """Return the scheme of an address without its driver; empty for what is no address."""
    try:
        parts = urlsplit(uri)
        return parts.scheme.partition("+")[0] if parts.port is None or parts.hostname else ""
    except ValueError:  # such as http://[::1
        return ""


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite tracking URI, None for any other URI."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def artifact_location(database: Path) -> str:
    """Return the URI of the folder of artifacts, which is always beside the data base."""
    return (database.parent / "mlartifacts").as_uri()


def check_database(database: Path) -> bool:
    """Return whether there is a data base.

    Raises TrackingError for what SQLite cannot open, and for what another process keeps from being written; MLflow
    would try for a minute and a half, and for 20 s.
    """
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
            return connection.execute("SELECT count(*) FROM sqlite_master").fetchone() > (0,)
    except sqlite3.Error as error:
        raise TrackingError(
            f"{database} cannot be used as a data base ({error}); move it away, end what holds it, "
            f"or give runtime.tracking_uri another address"
        ) from None


def follow_move(database: Path) -> None:
    """Put the paths of our artifacts right: MLflow stores them absolute, and a checkout may be moved or copied."""
    location = artifact_location(database)
    connection = sqlite3.connect(database)
    with contextlib.closing(connection), connection:
        row = connection.execute(
            "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?", (EXPERIMENT,)
        ).fetchone()
        if row is None or row[1] == location or not re.fullmatch(r"file:.*/mlartifacts", row[1]):
            return  # an artifact store that somebody chose is left alone
        experiment, old = row
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (location, experiment)
        )
        connection.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
            "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
            (location, len(old) + 1, experiment, len(old) + 1, f"{old}/"),
        )


def without_password(uri: str) -> str:
    """Return ``uri`` (or a text that holds one) fit to be shown."""
    return re.sub(r"//[^/@\s]*@", "//***@", uri)
