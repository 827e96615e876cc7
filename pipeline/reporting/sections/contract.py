"""What a section of the report says of itself; its partial is the ``<name>.html.j2`` beside its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.reporting.view import PageView, TaskView

Shown = Mapping[str, Any]  # what the partial finds under ``shown``


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page: PageSection or TaskSection says which of the two views it is made from."""

    name: str
    title: str = ""  # its heading; without one, no navigation leads to the section
    link: str = ""  # what the navigation calls it, if not its title
    anchor: str = ""  # where the navigation leads, if not to its name; behind the task's name in a TaskSection
    partial: str = ""  # if not that of its name

    @property
    def linked(self) -> str:
        """Return what the navigation calls it."""
        return self.link or self.title

    @property
    def place(self) -> str:
        """Return where the navigation leads."""
        return self.anchor or self.name

    @property
    def template(self) -> str:
        """Return the file of its partial."""
        return f"sections/{self.partial or self.name}.html.j2"


@dataclass(frozen=True, kw_only=True)
class PageSection(Section):
    """A section of the whole page; ``show`` returns what its partial shows, None to leave it out."""

    show: Callable[[PageView], Shown | None]
    labelled: bool = False  # with figures of ours: the heading says of which profile they are


@dataclass(frozen=True, kw_only=True)
class TaskSection(Section):
    """A section that every task has; ``show`` returns what its partial shows, None to leave it out."""

    show: Callable[[TaskView], Shown | None]
