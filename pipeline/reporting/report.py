"""The report: one self-contained HTML page and comparison.csv."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Params
from pipeline.files import write_bytes, write_text
from pipeline.reporting.dvc_summary import write_dvc_summary
from pipeline.reporting.pictures import colour_stops
from pipeline.reporting.references import HONG
from pipeline.reporting.rows import show
from pipeline.reporting.sections import PageSection, Section, TaskSection, sections
from pipeline.reporting.sections.contract import Shown
from pipeline.reporting.style import variant_colours
from pipeline.reporting.tables import REPORT_FILE, write_comparison
from pipeline.reporting.view import PageView, TaskView, load_view

TEMPLATE = "page/page.html.j2"
FIGURES = "figures"


@dataclass(frozen=True)
class Placed:
    """A section at its place in the page."""

    section: Section
    anchor: str
    shown: Shown


@dataclass(frozen=True)
class Block:
    """Sections that stand together: those of one task, or of the whole page."""

    task: TaskView | None
    placed: list[Placed]


def build_report(root: Path, params: Params) -> Path:
    """Write ``report/``: report.html, comparison.csv and figures/; return the path of the page.

    Stages that have not run are named as such. Raises DataError for a file that cannot be read.
    """
    view = load_view(root, params)
    page = root / REPORT_FILE
    write_comparison(page.with_name("comparison.csv"), [(task.results, task.rows) for task in view.tasks], params)
    write_dvc_summary(root, [(task.results, task.rows) for task in view.tasks])
    for task in view.tasks:
        for name, drawn in task.plots.items():
            write_bytes(page.with_name(FIGURES) / f"{task.name}_{name}.png", drawn.png)
    return write_text(page, _render(params, list(_blocks(view))))


def _blocks(view: PageView) -> Iterator[Block]:
    """Yield the page in order; sections of a task that follow each other are repeated for every task."""
    for per_task, group in itertools.groupby(sections(), lambda section: isinstance(section, TaskSection)):
        together = list(group)
        if per_task:
            for task in view.tasks:
                own = [s for s in together if isinstance(s, TaskSection)]
                shown = [(s, f"{task.name}-{s.place}", s.show(task)) for s in own]
                yield Block(task, [Placed(s, anchor, content) for s, anchor, content in shown if content is not None])
        else:
            whole = [(s, s.place, s.show(view)) for s in together if isinstance(s, PageSection)]
            if placed := [Placed(s, anchor, content) for s, anchor, content in whole if content is not None]:
                yield Block(None, placed)


def _render(params: Params, blocks: list[Block]) -> str:
    """Fill the template; everything that comes from files or params is escaped by jinja2."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = show
    return environment.get_template(TEMPLATE).render(
        params=params,
        blocks=blocks,
        variants=list(params.compared),
        colours=variant_colours(list(params.compared)),
        label="" if params.profile == "paper" else f"{params.profile} profile",
        colour_stops=colour_stops(),
        paper=HONG,
    )
