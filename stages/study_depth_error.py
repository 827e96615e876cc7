"""Paper B's example of section 2."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.studies.depth_error.study import DepthError
from pipeline.studies.running import run_stage


def main() -> None:
    """Run the study at the profile's sizes, write ``artifacts/studies/depth_error``."""
    say(f"results and figures in {run_stage(DepthError, project_root())}")


if __name__ == "__main__":
    run_main(main)
