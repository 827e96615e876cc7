"""Write the report of all tasks x variants x seeds and log it to each of their runs."""

from __future__ import annotations

from pipeline.config import load_params
from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.reporting.report import FIGURES, build_report
from pipeline.reporting.results import load_results
from pipeline.tracking.identity import training_identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import open_run


def main() -> None:
    """Read params, write ``report``, log it with its figures."""
    root, params = project_root(), load_params()
    page = build_report(root, params)
    every = [one for results in load_results(root, params) for one in (results, *results.repeats)]
    for results in every:
        for variant, found in results.variants.items():
            if found.run_key is None:
                continue  # not yet trained: there is no run to log to
            identity = training_identity(results.task, variant, results.seed, found.run_key)
            origin = provenance(root, "report", params.profile, results.task)
            with open_run(root, identity, params.runtime.tracking_uri, origin) as run:
                run.artifact(page, "report")
                run.artifact(page.with_name("comparison.csv"), "report")
                for figure in sorted(page.with_name(FIGURES).glob(f"{results.task}_*.png")):
                    run.image(figure, f"report/{figure.stem}")
    say(f"report: {page}")


if __name__ == "__main__":
    run_main(main)
