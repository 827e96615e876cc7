"""Write the report of all tasks x variants x seeds and log it to each of their runs."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.layout import project_root
from pipeline.params import load_params
from pipeline.reporting.report import build_report
from pipeline.reporting.tracked import log_report


def main() -> None:
    """Read params, write ``report``, log it with its figures."""
    root, params = project_root(), load_params()
    page = build_report(root, params)
    log_report(root, params, page)
    say(f"report: {page}")


if __name__ == "__main__":
    run_main(main)
