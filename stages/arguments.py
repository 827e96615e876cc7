"""The command line that all stages share."""

from __future__ import annotations

import argparse


def parse(description: str, variant: bool = True) -> argparse.Namespace:
    """Return ``task``, ``seed`` (and ``variant``) from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--task", required=True, help="a key of tasks in params.yaml")
    if variant:
        parser.add_argument("--variant", required=True, help="a key of variants in params.yaml")
    parser.add_argument("--seed", type=int, required=True, help="one of seeds in params.yaml")
    return parser.parse_args()
