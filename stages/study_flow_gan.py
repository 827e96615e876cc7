"""Paper B's Flow-GAN."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.studies.flow_gan.study import FlowGan
from pipeline.studies.running import run_stage


def main() -> None:
    """Run the study at the profile's sizes, write ``artifacts/studies/flow_gan``."""
    say(f"results and figures in {run_stage(FlowGan, project_root())}")


if __name__ == "__main__":
    run_main(main)
