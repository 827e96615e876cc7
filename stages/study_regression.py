"""Paper B's regression onto a line."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.studies.regression.study import Regression
from pipeline.studies.running import run_stage


def main() -> None:
    """Run the study at the profile's sizes, write ``artifacts/studies/regression``."""
    say(f"results and figures in {run_stage(Regression, project_root())}")


if __name__ == "__main__":
    run_main(main)
