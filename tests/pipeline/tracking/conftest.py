"""A project folder with an empty MLflow store, and no server of the developer's own."""

import shutil

import pytest

from pipeline.tracking.client import open_client
from pipeline.tracking.store import tracking_uri


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """Migrating a new data base takes seconds: once for all tests."""
    root = tmp_path_factory.mktemp("template")
    open_client(tracking_uri(root))
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path, template):
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path
