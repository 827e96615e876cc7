"""The report is made of sections: each has its partial, each is found by the navigation, all are shipped."""

import re
import tomllib
from pathlib import Path

import pytest
from report_tree import BOTH, make_params, page_of

import pipeline.reporting
from pipeline.reporting import tables
from pipeline.reporting.sections import SECTIONS, PageSection, TaskSection, sections
from pipeline.stability.analyses import ANALYSES

HERE = Path(pipeline.reporting.__file__).parent


def test_a_section_has_a_file_and_a_partial_of_its_name():
    for section in SECTIONS:
        assert (HERE / "sections" / f"{section.name}.py").is_file() and (HERE / section.template).is_file()


def test_every_partial_belongs_to_a_section():
    shared = {HERE / "sections" / "study_pages.html.j2"}  # what studies and searches have in common
    assert {HERE / section.template for section in sections()} | shared == set((HERE / "sections").glob("*.j2"))


def test_the_navigation_leads_to_every_section_and_nowhere_else(both):
    text = page_of(both, make_params(tasks=BOTH))
    navigation = text[text.index('<nav id="contents">') : text.index("</nav>")]
    links = re.findall(r'href="#([^"]+)"', navigation)
    titled = [section for section in sections() if section.title]
    # this tree has neither studies nor searches
    whole = [s.place for s in titled if isinstance(s, PageSection) and s.name not in ("studies", "searches")]
    # of the analyses, those that have left something to show have a section to lead to
    shown = [s for s in titled if isinstance(s, TaskSection) and (s.name not in ANALYSES or left(both, s.name))]
    of_tasks = [[task, *(f"{task}-{section.place}" for section in shown)] for task in BOTH]
    assert links == [whole[0], *of_tasks[0], *of_tasks[1], *whole[1:]]
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(re.findall(r' id="([^"]+)"', text))


def left(root, analysis):
    """Return whether any audit of the tree has left a file that the report shows of the analysis."""
    said = ANALYSES[analysis]
    files = [*(plot.table for plot in said.plots), *(picture.file for picture in said.shown)]
    return any(next(root.rglob(file), None) for file in files)


def test_a_section_without_content_is_left_out(tmp_path):
    text = page_of(tmp_path)
    assert re.findall(r'<section id="([^"]+)"', text) == ["df2k_x4", "glossary", "references", "reproduce"]
    assert "<h3" not in text and '#paper"' not in text


def test_every_template_is_shipped():
    root = HERE.parents[1]
    shipped = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    files = {
        path
        for package, globs in shipped.items()
        for glob in globs
        for path in (root / package.replace(".", "/")).glob(glob)
    }
    assert set((root / "pipeline").rglob("*.j2")) == files


def test_rows_are_computed_once_per_build(both, monkeypatch):
    counted = []
    rows = tables._audit_rows
    monkeypatch.setattr(tables, "_audit_rows", lambda results: counted.append(results.task) or rows(results))
    page_of(both, make_params(tasks=BOTH))
    assert counted == list(BOTH)


@pytest.mark.parametrize("missing", ["bad_pixels", "feature_variance"])
def test_an_analysis_that_no_profile_chose_leaves_no_trace(root, missing):
    for file in ANALYSES[missing].tables:
        for path in root.rglob(file):
            path.unlink()
    text = page_of(root)
    place = {"bad_pixels": "stress"}.get(missing, missing)
    assert f"df2k_x4-{place}" not in text and "df2k_x4-comparison" in text
