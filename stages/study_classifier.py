"""Paper B's invertible classifiers."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.studies.classifier.study import Classifier
from pipeline.studies.running import run_stage


def main() -> None:
    """Run the study at the profile's sizes, write ``artifacts/studies/classifier``."""
    say(f"results and figures in {run_stage(Classifier, project_root())}")


if __name__ == "__main__":
    run_main(main)
