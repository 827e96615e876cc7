"""Paper A's 2D toy."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.studies.running import run_stage
from pipeline.studies.toy2d.study import Toy2d


def main() -> None:
    """Run the study at the profile's sizes, write ``artifacts/studies/toy2d``."""
    say(f"results and figures in {run_stage(Toy2d, project_root())}")


if __name__ == "__main__":
    run_main(main)
