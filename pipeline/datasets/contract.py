"""What a data set is: a name, its terms, and a listing of its pictures from a folder or a demo source.

To add one: a file with a subclass of ``DataSet`` and one line in ``pipeline.datasets.DATASETS``. A data set
lists files; it decodes none. Reading, checking and storing them is ``pipeline.datasets.prepare``'s work and
the same for all.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.datasets.manifest import Role, Split
from pipeline.errors import DataError

DEMO = "demo"


@dataclass(frozen=True)
class PictureSource:
    """One picture before it is prepared.

    ``id`` names it in every later stage (letters, digits, ``-``, ``_`` and ``.``; unique within a role);
    ``origin`` is where it comes from, relative to the source, for the manifest; ``content`` is its file or the
    bytes of one. A pair has two sources of the same id: role ``input`` (what a network gets) and role
    ``target`` (what it should give). Data sets without pairs have targets alone. ``label`` is a class number.
    """

    id: str
    split: Split
    origin: str
    content: Path | bytes
    role: Role = "target"
    label: int | None = None


@dataclass(frozen=True)
class Listing:
    """The pictures of a source and what is to say about it.

    ``faults`` must be mended. ``missing`` says what a complete source has and this one has not: a fault too,
    unless the user set ``allow_partial``. ``notes`` go into the manifest and the report.
    """

    pictures: list[PictureSource]
    faults: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class DataSet(abc.ABC):
    """A data set by name; ``licence`` are the terms of its folder, ``demo_licence`` those of its demo source."""

    name: str
    licence: str
    demo_licence: str

    @abc.abstractmethod
    def demo(self) -> Listing:
        """Return real pictures that need no folder of the user."""

    @abc.abstractmethod
    def folder(self, path: Path) -> Listing:
        """Return the pictures in an existing folder laid out as the class's docstring draws."""

    def splits(self, source: str, root: Path) -> Listing:
        """Return the pictures of ``source``: ``demo``, or a folder (relative to ``root`` if not absolute).

        DataError if the folder does not exist.
        """
        if source == DEMO:
            return self.demo()
        path = root / Path(source).expanduser()
        if not path.is_dir():
            raise DataError(
                f"datasets.{self.name}.source in params.yaml is '{source}', and there is no such folder; "
                f"give the folder that holds the pictures, or '{DEMO}' for sample pictures"
            )
        return self.folder(path)
