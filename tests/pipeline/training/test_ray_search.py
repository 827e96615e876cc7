"""Trials that fail are told, and the others come to their end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.config import RuntimeConfig
from pipeline.errors import DataError, SteadyflowError
from pipeline.training.ray_search import run_trials

RUNTIME = RuntimeConfig(trials=2, device="cpu")


def work_in(folder):
    """Return a work that leaves a file, and fails as it is told; not of this module, which Ray's processes lack."""
    where = str(folder)

    def work(trial, report, device):
        if trial == "raises":
            raise ValueError("it went wrong")
        if trial == "ours":
            raise DataError("there are no pictures")
        if trial == "dies":
            os._exit(1)
        report({"step": 1.0, "loss": 2.0})
        (Path(where) / trial).touch()

    return work


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("raises", SteadyflowError, "1 of 4 trials failed"),
        ("dies", SteadyflowError, "1 of 4 trials failed"),
        ("ours", DataError, "there are no pictures"),
    ],
)
def test_a_trial_that_fails_is_told_when_the_others_have_ended(tmp_path, fault, kind, said):
    told = {}
    with pytest.raises(kind, match=said):
        run_trials(work_in(tmp_path), ["a", fault, "b", "c"], RUNTIME, tmp_path, "own", told.__setitem__)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a", "b", "c"]
    assert sorted(told) == [0, 2, 3]
    assert {last["loss"] for last in told.values()} == {2.0}


def test_nothing_to_run_starts_nothing(tmp_path):
    run_trials(work_in(tmp_path), [], RUNTIME, tmp_path, "own", lambda number, last: None)
    assert not list(tmp_path.iterdir())
