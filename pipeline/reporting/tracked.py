"""The report as a run of its own: a page of all tasks, kept once."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Params
from pipeline.reporting.report import FIGURES
from pipeline.tracking.identity import Identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import open_run


def log_report(root: Path, params: Params, page: Path) -> None:
    """Log ``page``, the comparison beside it and its figures to the run ``report``, in the place of the last report."""
    identity = Identity("report", {"report": page.parent.name}, "report")
    with open_run(root, identity, params.runtime.tracking_uri, provenance(root, "report", params.profile)) as run:
        run.artifact(page, "report")
        run.artifact(page.with_name("comparison.csv"), "report")
        for figure in sorted(page.with_name(FIGURES).glob("*.png")):
            run.image(figure, f"report/{figure.stem}")
