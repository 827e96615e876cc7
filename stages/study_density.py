"""Paper B's densities of small pictures."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.studies.density.study import Density
from pipeline.studies.running import run_stage


def main() -> None:
    """Run the study at the profile's sizes, write ``artifacts/studies/density``."""
    say(f"results and figures in {run_stage(Density, project_root())}")


if __name__ == "__main__":
    run_main(main)
