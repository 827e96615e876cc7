"""The words of the page."""

from __future__ import annotations

from pipeline.reporting.sections.contract import PageSection, Shown
from pipeline.reporting.view import PageView


def _show(page: PageView) -> Shown:
    return {}


GLOSSARY = PageSection(name="glossary", title="Glossary", show=_show)
