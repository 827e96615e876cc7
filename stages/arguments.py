"""The command line that all stages share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from pipeline.experiment import Experiment
from pipeline.layout import project_root
from pipeline.params import load_params


def chosen(description: str, variant: bool = True) -> tuple[Path, Experiment]:
    """Return the project's folder and the experiment of params.yaml that the command line names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--task", required=True, help="a key of tasks in params.yaml")
    if variant:
        parser.add_argument("--variant", required=True, help="a key of variants in params.yaml")
    parser.add_argument("--seed", type=int, required=True, help="one of seeds in params.yaml")
    named = parser.parse_args()
    return project_root(), Experiment.of(load_params(), named.task, named.seed, named.variant if variant else None)


def search_name(description: str, known: Iterable[str]) -> str:
    """Return the search that the command line names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--search", required=True, choices=list(known), help="a search of params.yaml")
    name: str = parser.parse_args().search
    return name
