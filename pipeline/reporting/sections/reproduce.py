"""How to make the page again, and which runs it is of."""

from __future__ import annotations

from pipeline.reporting.sections.contract import PageSection, Shown
from pipeline.reporting.view import PageView


def _show(page: PageView) -> Shown:
    seeds = [one for task in page.tasks for one in (task.results, *task.results.repeats)]
    return {"runs": [run for results in seeds for run in results.variants.values()]}


REPRODUCE = PageSection(name="reproduce", title="How to reproduce", show=_show)
