"""A search over a study's settings: a trial per combination of values, the trade-off, the winner."""

from __future__ import annotations

from pipeline.console import run_main
from pipeline.layout import project_root
from pipeline.params import load_params
from pipeline.searches.running import run_stage
from pipeline.studies.searches import study_space
from stages.arguments import search_name


def main() -> None:
    """Run the trials that have not ended, write ``searches/<name>``."""
    params = load_params()
    run_stage(study_space(search_name(__doc__ or "", params.searches.studies), params), project_root(), params.runtime)


if __name__ == "__main__":
    run_main(main)
