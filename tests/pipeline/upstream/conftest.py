"""Most tests of published checkpoints read them in this process: another one has to import torch first."""

import pytest

from pipeline.upstream import model
from pipeline.upstream.reading import read_weights


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(model, "read_apart", read_weights)
