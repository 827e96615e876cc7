"""What an analysis says of itself: its numbers, options, tables and plots. Loads neither torch nor matplotlib.

An analysis says what a plot shows; ``pipeline/reporting/plots.py`` says how that looks.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pipeline.errors import brief, nearest

if TYPE_CHECKING:
    import numpy as np

    from pipeline.stability.subject import Subject

Option = bool | int | float | str
COSTS = {"seconds": "seconds", "minutes": "some minutes"}  # of a small network on two cores, as people are told
PERCENT = 100.0


@dataclasses.dataclass(frozen=True)
class Number:
    """How people read one number: what is found times ``factor``, in ``unit``.

    A key such as ``growth_<kind>`` in ``Analysis.numbers`` stands for a family: ``{}`` in the title is filled in by
    the member's words in ``members``, whose order is the one shown, or by its own name.
    """

    title: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = "lower"
    factor: float = 1.0
    members: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Curves:
    """A line of ``y`` (logarithmic axis) against ``x`` for every value of ``line``, one panel per variant.

    ``x``, ``y``, ``line``, ``group`` and ``stretch`` are columns of ``table``. Lines of one group look alike; those of
    the group ``reference`` are black.
    """

    name: str  # of the file in report/figures/
    caption: str  # what is seen and what it means; how to read the marks is the drawing's to say
    alt: str  # what a picture shows, for those who cannot see it
    table: str
    x: str
    y: str
    line: str
    group: str
    x_title: str
    y_title: str
    stretch: str = ""  # a column whose equal values are named together below the axis; empty: x is numbered
    reference: str = ""
    reference_title: str = ""


@dataclasses.dataclass(frozen=True)
class Bars:
    """The mean of ``value`` per ``group`` and variant, weighted by ``weight``: a share in [0, 1] of what is bad, drawn
    in percent.

    ``group``, ``value`` and ``weight`` are columns of ``table``.
    """

    name: str
    title: str
    caption: str
    alt: str
    table: str
    group: str
    group_title: str
    value: str
    value_title: str
    weight: str


Plot = Curves | Bars


@dataclasses.dataclass
class Found:
    """What an analysis found. A number that is None has its reason: a few words that stand in its cell."""

    numbers: dict[str, float | None]
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)  # file name -> rows
    pictures: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # file name -> (H, W, 3) uint8
    said: str = ""  # the finding in a line, for the terminal


@dataclasses.dataclass(frozen=True)
class Analysis(ABC):
    """One analysis of the audit; the fields of its dataclass are its options, each with a default.

    To implement one: say what the class variables ask for, and write ``run``. Options that make no sense raise
    ValueError in ``__post_init__``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    cost: ClassVar[str]  # a key of COSTS
    numbers: ClassVar[Mapping[str, Number]]  # all that ``run`` can return, in the order in which they are shown
    tables: ClassVar[Mapping[str, Sequence[str]]] = {}  # file name -> columns
    plots: ClassVar[Sequence[Plot]] = ()

    @abstractmethod
    def run(self, subject: Subject) -> Found:
        """Return what there is to say of ``subject``."""

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Return the options with their defaults."""
        return {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[misc]

    @classmethod
    def with_options(cls, given: Mapping[str, Option]) -> Self:
        """Return the analysis with options of params.yaml; ValueError for what it does not know or take."""
        defaults = cls.options()
        for name, value in given.items():
            if name not in defaults:
                known = nearest(name, defaults) if defaults else f"{cls.name} has none"
                raise ValueError(f"option {brief(name)} does not exist; {known}")
            kinds = (int, float) if isinstance(defaults[name], float) else (type(defaults[name]),)
            if type(value) not in kinds:
                raise ValueError(f"{name} must be of type {kinds[-1].__name__}, got {brief(value)}")
        return cls(**given)

    @classmethod
    def number(cls, name: str) -> Number | None:
        """Return how people read the number ``name``, a family's title filled in; None if nothing is said of it."""
        key, member = cls._family(name)
        if (number := cls.numbers.get(key)) is None or not member:
            return number
        words = number.members.get(member, member.replace("_", " "))
        return dataclasses.replace(number, title=number.title.format(words), members={})

    @classmethod
    def ordered(cls, names: Iterable[str]) -> list[str]:
        """Return ``names`` in the order in which they are shown; those of which nothing is said come last."""
        order = list(cls.numbers)

        def place(name: str) -> tuple[int, int]:
            key, member = cls._family(name)
            members = list(cls.numbers[key].members) if key in order else []
            return _place(order, key), _place(members, member)

        return sorted(names, key=place)

    @classmethod
    def _family(cls, name: str) -> tuple[str, str]:
        """Return the key of ``name`` in ``numbers``, and which member of a family it is; nothing for a lone number."""
        for key in cls.numbers if name not in cls.numbers else ():
            prefix, bracket, _ = key.partition("<")
            if bracket and name != prefix and name.startswith(prefix):
                return key, name.removeprefix(prefix)
        return name, ""


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)
