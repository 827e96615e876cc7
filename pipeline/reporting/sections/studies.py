"""The papers' stand-alone experiments: the page that each study wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.layout import study_folder
from pipeline.reporting.pixels import data_uri
from pipeline.reporting.sections.contract import PageSection, Shown
from pipeline.reporting.study_page import StudyPage, read_page
from pipeline.reporting.view import PageView


def _show(page: PageView) -> Shown | None:
    """Return every study of the profile that has run, with its figures, and the names of the others."""
    found = {name: read_page(study_folder(page.root, name)) for name in page.params.studies_of_profile}
    shown = [with_figures(study_folder(page.root, name), study) for name, study in found.items() if study is not None]
    missing = [name for name, study in found.items() if study is None]
    return {"studies": shown, "missing": missing, "anchor": "study"} if found else None


def with_figures(folder: Path, study: StudyPage) -> dict[str, Any]:
    """Return a page of ``folder`` with its figures, as the partial shows it."""
    figures = [(figure, data_uri((folder / figure.file).read_bytes(), "png")) for figure in study.figures]
    return {"page": study, "figures": figures}


STUDIES = PageSection(name="studies", title="Studies: the papers' stand-alone experiments", link="studies", show=_show)
