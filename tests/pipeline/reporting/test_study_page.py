"""A study's page: what is written comes back, and the report shows it, hostile words escaped."""

import dataclasses

import pytest
from report_tree import build_root, make_params

from pipeline.config import Searches
from pipeline.errors import DataError
from pipeline.layout import search_folder, study_folder
from pipeline.reporting.report import build_report
from pipeline.reporting.study_page import Comparison, PageFigure, PageTable, StudyPage, markdown, read_page, write_page

PAGE = StudyPage(
    "toy",
    "A toy <script>alert(1)</script>",
    "Does it?",
    "small",
    ["It does."],
    [PageTable("T", ["a", "b"], [["x", 0.123456], [None, 3]])],
    [PageFigure("dot.png", "A dot.", "dot")],
    [Comparison("B, Fig. 9", "dots", "1", "2", "no", "why")],
)


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dot.png").write_bytes(b"\x89PNG\r\n")
    return write_page(folder, PAGE)


def test_what_is_written_comes_back(tmp_path):
    write(tmp_path)
    assert dataclasses.asdict(read_page(tmp_path)) == dataclasses.asdict(PAGE)


def test_no_page_is_none(tmp_path):
    assert read_page(tmp_path) is None


def test_a_figure_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"dot\.png"):
        write_page(tmp_path, PAGE)
    assert not list(tmp_path.iterdir())


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_page(tmp_path, dataclasses.replace(PAGE, figures=[], tables=[PageTable("T", ["a"], [[float("nan")]])]))


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 1, "name": "x", "tables": 3}'])
def test_a_damaged_page_is_one_line(tmp_path, content):
    (tmp_path / "page.json").write_text(content)
    with pytest.raises(DataError, match="run the study again"):
        read_page(tmp_path)


def test_comparisons_are_a_markdown_table():
    *head, row = markdown([PAGE]).splitlines()
    assert len(head) == 2
    assert row == "| B, Fig. 9 | dots why | 1 | 2 | no |"


def test_the_report_shows_it(tmp_path):
    root = build_root(tmp_path)
    write(study_folder(root, "toy"))
    params = make_params().model_copy(update={"studies": {make_params().profile: {"toy": {}, "later": {}}}})
    page = build_report(root, params).read_text(encoding="utf-8")
    assert "It does." in page and "0.1235" in page and "B, Fig. 9" in page
    assert "Not run yet: later." in page
    assert "<script>alert" not in page


def test_the_report_shows_searches_that_have_run(tmp_path):
    root = build_root(tmp_path)
    own = {"study": "classifier", "grids": [{"depth": [1]}], "metrics": {"a": "max", "b": "min"}, "within": 1.0}
    searches = Searches.model_validate({"studies": {"toy": own, "later": own}})
    params = make_params().model_copy(update={"searches": searches})
    assert 'id="searches"' not in build_report(root, params).read_text(encoding="utf-8")
    write(search_folder(root, "toy"))
    page = build_report(root, params).read_text(encoding="utf-8")
    assert 'id="searches"' in page and 'id="search-toy"' in page and 'href="#search-toy"' in page
    assert "search-later" not in page
