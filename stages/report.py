"""Write the report of all tasks x variants x seeds and log it to each of their runs."""

from __future__ import annotations

from pipeline.config import load_params
from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.reporting.dvc_summary import write_dvc_summary
from pipeline.reporting.report import FIGURES, build_report
from pipeline.reporting.results import load_results
from pipeline.tracking.run import open_run


def main() -> None:
    """Read params, write ``report``, log it with its figures."""
    root, params = project_root(), load_params()
    page = build_report(root, params)
    tasks = load_results(root, params)
    write_dvc_summary(root, tasks)
    every = [one for results in tasks for one in (results, *results.repeats)]
    for results in every:
        for variant, found in results.variants.items():
            if found.run_key is None:
                continue  # not yet trained: there is no run to log to
            with open_run(root, results.task, variant, results.seed, found.run_key, params, "report") as run:
                run.artifact(page, "report")
                run.artifact(page.with_name("comparison.csv"), "report")
                for figure in sorted(page.with_name(FIGURES).glob(f"{results.task}_*.png")):
                    run.image(figure, f"report/{figure.stem}")
    say(f"report: {page}")


if __name__ == "__main__":
    run_main(main)
