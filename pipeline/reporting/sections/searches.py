"""The searches that have run: the page that each wrote."""

from __future__ import annotations

from pipeline.layout import search_folder
from pipeline.reporting.sections.contract import PageSection, Shown
from pipeline.reporting.sections.studies import with_figures
from pipeline.reporting.study_page import read_page
from pipeline.reporting.view import PageView


def _show(page: PageView) -> Shown | None:
    """Return the page of every search of params.yaml that has run, with its figures."""
    searches = page.params.searches
    folders = [search_folder(page.root, name) for name in (*searches.studies, *searches.flows)]
    shown = [with_figures(folder, found) for folder in folders if (found := read_page(folder)) is not None]
    return {"studies": shown, "anchor": "search"} if shown else None


SEARCHES = PageSection(name="searches", title="Searches: settings against stability", link="searches", show=_show)
