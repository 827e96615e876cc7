"""The publications that the page names."""

from __future__ import annotations

from pipeline.reporting.references import REFERENCES as PUBLICATIONS
from pipeline.reporting.sections.contract import PageSection, Shown
from pipeline.reporting.view import PageView


def _show(page: PageView) -> Shown:
    return {"publications": PUBLICATIONS}


REFERENCES = PageSection(name="references", title="References", show=_show)
