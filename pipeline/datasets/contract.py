"""What a data set is: a name, its terms, and a listing of its pictures from a folder or a demo source.

To add one: a file with a subclass of ``DataSet`` and one line in ``pipeline.datasets.DATASETS``. A data set
lists pictures; it decodes none. Reading and checking them is ``pipeline.datasets.check``'s work, storing them
``pipeline.datasets.prepare``'s, and both are the same for all.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from pipeline.errors import ConfigError, DataError, brief, nearest
from pipeline.feed.manifest import Role, Split
from pipeline.pictures import Pixels

DEMO = "demo"


@dataclass(frozen=True)
class PictureSource:
    """One picture before it is prepared.

    ``id`` names it in every later stage (letters, digits, ``-``, ``_`` and ``.``; unique within a role);
    ``origin`` is where it comes from, relative to the source, for the manifest; ``content`` is its file, the
    bytes of one, or its pixels ``(H, W, 3)`` uint8. A pair has two sources of the same id: role ``input`` (what
    a network gets) and role ``target`` (what it should give). Data sets without pairs have targets alone.
    ``label`` is a class number.

    ``processing`` is applied to the decoded pixels, ``(H, W, 3)`` to ``(H, W, 3)``; its ``repr`` must say all
    that its result depends on (a frozen dataclass does). It may raise ``decode.Unreadable``.
    """

    id: str
    split: Split
    origin: str
    content: Path | bytes | Pixels
    role: Role = "target"
    label: int | None = None
    processing: Callable[[Pixels], Pixels] | None = None


@dataclass(frozen=True)
class Listing:
    """The pictures of a source and what is to say about it.

    ``faults`` must be mended. ``missing`` says what a complete source has and this one has not: a fault too,
    unless the user set ``allow_partial``. ``notes`` go into the manifest and the report.
    """

    pictures: list[PictureSource] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Listing) -> None:
        """Append all that ``other`` lists."""
        for name, items in vars(other).items():
            getattr(self, name).extend(items)


@dataclass(frozen=True)
class Wanted:
    """What a task asks of a source: the ``scale`` of super-resolution (1: none) and the data set's own options.

    ``paired``: the degraded side must be the source's own, since the task makes none. ``root`` is the folder that
    relative paths among the options start from; ``splits`` sets it.
    """

    scale: int = 1
    options: Mapping[str, str] = field(default_factory=dict)
    paired: bool = False
    root: Path = Path()


@dataclass(frozen=True)
class Option:
    """One key of ``datasets.<name>.options``.

    ``default`` is its value where params.yaml gives none; ``fault`` returns what is wrong with a value, in words
    that go on after ``is 'value'``, or nothing; ``examples`` are what docs/data.md shows.
    """

    default: str
    fault: Callable[[str], str]
    examples: tuple[str, ...]


def one_of(*values: str) -> Option:
    """Return an option that may be one of ``values``; the first is the default."""
    return Option(values[0], lambda value: "" if value in values else nearest(value, values), values)


class DataSet(abc.ABC):
    """A data set by name; ``licence`` are the terms of its folder, ``demo_licence`` those of its demo source.

    ``options`` are the keys that ``datasets.<name>.options`` may have in params.yaml. ``splits_needed`` are the
    splits that must have pictures. ``published_duplicates`` tells that the published set may hold a picture on both
    sides of its split, which is then a warning. ``overlaps`` names data sets that share scenes with this one, and how.
    """

    name: str
    licence: str
    demo_licence: str
    options: ClassVar[Mapping[str, Option]] = {}
    splits_needed: tuple[Split, ...] = ("train", "validation")
    published_duplicates: bool = False
    overlaps: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def demo(self) -> Listing:
        """Return real pictures that need no folder of the user; DataError if they cannot be fetched."""

    def demo_pairs(self) -> Listing:
        """Return the demo source for a task that wants pairs: the same, where the data set has only pairs or none."""
        return self.demo()

    @abc.abstractmethod
    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pictures in an existing folder laid out as the class's docstring draws."""

    def option(self, wanted: Wanted, key: str) -> str:
        """Return the value of option ``key``, or its default."""
        return wanted.options.get(key, self.options[key].default)

    def splits(self, source: str, root: Path, wanted: Wanted | None = None) -> Listing:
        """Return the pictures of ``source``: ``demo``, or a folder (relative to ``root`` if not absolute).

        DataError if the folder does not exist or the demo source cannot be fetched; ConfigError for an option
        that the data set has not.
        """
        wanted = replace(wanted or Wanted(), root=root)
        self._check_options(wanted)
        if source == DEMO:
            try:
                return self.demo_pairs() if wanted.paired else self.demo()
            except DataError as error:
                raise DataError(
                    f"sample pictures of {self.name}: {error}; or set datasets.{self.name}.source in params.yaml "
                    "to a folder of your own"
                ) from None
        try:
            path = root / Path(source).expanduser()
        except RuntimeError:  # ~name of nobody
            raise DataError(
                f"datasets.{self.name}.source in params.yaml is {brief(source)}, and nobody here has that name; "
                f"give the folder itself"
            ) from None
        if path.is_file():
            raise DataError(f"datasets.{self.name}.source in params.yaml is the file {brief(source)}; {_INSTEAD}")
        if not path.is_dir():
            raise DataError(
                f"datasets.{self.name}.source in params.yaml is {brief(source)}, and there is no such folder; "
                f"give the folder that holds the pictures, or '{DEMO}' for sample pictures"
            )
        try:
            return self.folder(path, wanted)
        except OSError as error:
            place = f" ({error.filename!r})" if error.filename else ""
            raise DataError(f"datasets.{self.name}.source '{source}' cannot be read: {error.strerror}{place}") from None

    def _check_options(self, wanted: Wanted) -> None:
        for key, value in wanted.options.items():
            where = f"params.yaml: datasets.{self.name}.options"
            if key not in self.options:
                allowed = nearest(key, self.options) if self.options else "this data set has none"
                raise ConfigError(f"{where}: unknown key '{key}'; {allowed}")
            if fault := self.options[key].fault(value):
                raise ConfigError(f"{where}.{key} is '{value}'; {fault}")


_INSTEAD = "unpack an archive yourself and give the folder that holds the pictures"
