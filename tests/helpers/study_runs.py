"""Runs a study in a folder of its own: trials in this process, runs in a data base beside the results."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import RuntimeConfig
from pipeline.reporting.study_page import StudyPage
from pipeline.studies.contract import Study
from pipeline.studies.running import run_study

RUNTIME = {"trials": 1, "threads": 1, "device": "cpu", "log_every": 1}


def run_in(folder: Path, study: Study, **runtime) -> StudyPage:
    """Return the page; results are in ``folder``, what an interrupted run goes on from in ``folder``/.runs."""
    settings = RuntimeConfig(**{**RUNTIME, "tracking_uri": f"sqlite:///{folder}/mlflow.db", **runtime})
    return run_study(study, folder, folder, settings, "own")
