"""The sections of the report. To add one: a file with its partial beside it, and its line in SECTIONS."""

from pipeline.reporting.sections.about import ABOUT
from pipeline.reporting.sections.comparison import COMPARISON
from pipeline.reporting.sections.contract import PageSection, Section, TaskSection
from pipeline.reporting.sections.glossary import GLOSSARY
from pipeline.reporting.sections.paper import PAPER
from pipeline.reporting.sections.pictures import PICTURES
from pipeline.reporting.sections.plots import plot_sections
from pipeline.reporting.sections.references import REFERENCES
from pipeline.reporting.sections.reproduce import REPRODUCE
from pipeline.reporting.sections.searches import SEARCHES
from pipeline.reporting.sections.stress import STRESS
from pipeline.reporting.sections.studies import STUDIES
from pipeline.reporting.sections.training import TRAINING

# In the order of the page; those of a task that follow each other stand together under every task.
SECTIONS: tuple[Section, ...] = (
    PAPER,
    ABOUT,
    COMPARISON,
    STRESS,
    PICTURES,
    TRAINING,
    STUDIES,
    SEARCHES,
    GLOSSARY,
    REFERENCES,
    REPRODUCE,
)


def sections() -> list[Section]:
    """Return SECTIONS and, behind the stress inputs, one for every analysis with plots that none of them shows."""
    place = SECTIONS.index(STRESS) + 1
    return [*SECTIONS[:place], *plot_sections(), *SECTIONS[place:]]


__all__ = ["SECTIONS", "PageSection", "Section", "TaskSection", "sections"]
