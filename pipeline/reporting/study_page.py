"""What a study found, as the report shows it: words, tables, figures, and the papers' figures beside ours.

A study writes ``page.json`` and its figures; the report reads them and nothing else of the study.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import DataError
from pipeline.files import read_json, write_json

PAGE_FILE = "page.json"
Cell = str | float | int | None  # None: there is no value; a text may say why
Agreement = Literal["yes", "partly", "no", "cannot be told"]


@dataclasses.dataclass(frozen=True)
class PageTable:
    """A table; numbers are shown as the report shows all numbers, texts as they are."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class PageFigure:
    """A PNG beside page.json. ``caption``: what is seen and what it means; ``alt``: for those who cannot see it."""

    file: str
    caption: str
    alt: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A figure or a claim of a paper beside ours.

    ``source``: where the paper has it, such as "B, Table 2". ``ours``: with seeds and spread where there are several.
    """

    source: str
    what: str
    paper: str
    ours: str
    agrees: Agreement
    note: str = ""


@dataclasses.dataclass(frozen=True)
class StudyPage:
    """One study's page. ``question``: what it asks; ``scale``: how large it was run; ``found``: paragraphs."""

    name: str
    title: str
    question: str
    scale: str
    found: Sequence[str]
    tables: Sequence[PageTable] = ()
    figures: Sequence[PageFigure] = ()
    comparisons: Sequence[Comparison] = ()


def write_page(folder: Path, page: StudyPage) -> Path:
    """Write page.json to ``folder``; ValueError for a figure that is not there or a number that is not finite."""
    for figure in page.figures:
        if not (folder / figure.file).is_file():
            raise ValueError(f"study {page.name}: the figure {figure.file} was not written")
    return write_json(folder / PAGE_FILE, {"format": 1, **dataclasses.asdict(page)})


def read_page(folder: Path) -> StudyPage | None:
    """Return the page in ``folder``, None if there is none. Raises DataError for a file that cannot be read."""
    path = folder / PAGE_FILE
    try:
        content = read_json(path)
        content.pop("format")
        parts = {"tables": PageTable, "figures": PageFigure, "comparisons": Comparison}
        return StudyPage(**{name: _read(value, parts.get(name)) for name, value in content.items()})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} cannot be read ({error}); run the study again") from None


def markdown(pages: Sequence[StudyPage]) -> str:
    """Return the comparisons of all pages as a Markdown table, as docs/papers.md has it."""
    lines = ["| where | what | paper | ours | agrees |", "|---|---|---|---|---|"]
    for page in pages:
        for one in page.comparisons:
            cells = (one.source, " ".join(filter(None, (one.what, one.note))), one.paper, one.ours, one.agrees)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _read(value: Any, kind: type | None) -> Any:
    return [kind(**one) for one in value] if kind is not None else value
