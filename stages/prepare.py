"""Prepare the pictures of one task: ``python -m stages.prepare --task df2k_x4``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.console import run_main
from pipeline.datasets.prepare import prepare
from pipeline.params import load_params


def main() -> None:
    """Read params.yaml in the current folder and write ``data/prepared/<task>``."""
    parser = argparse.ArgumentParser(prog="stages.prepare", description=__doc__)
    parser.add_argument("--task", required=True, help="a name under 'tasks' in params.yaml")
    prepare(parser.parse_args().task, load_params(), Path.cwd())


if __name__ == "__main__":
    run_main(main)
