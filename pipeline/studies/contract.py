"""The contract of a study: a dataclass whose fields are its options."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pipeline.errors import ConfigError
from pipeline.options import Option, check_options

if TYPE_CHECKING:
    from pipeline.reporting.study_page import StudyPage
    from pipeline.studies.lab import Lab

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Study(ABC):
    """An experiment of a paper that stands by itself: it needs no task of params.yaml and no trained flow.

    Every field is an option, made with ``option``: of ``steadyflow study NAME``, and of params.yaml under
    ``studies.<profile>.<name>``. The module loads torch and matplotlib in ``run`` alone, so that the command line
    starts quickly.
    """

    name: ClassVar[str]  # its key in STUDIES; letters, digits and _
    title: ClassVar[str]  # one line for the help

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigError for a wrong option; nothing has been computed or written yet."""

    def check_inputs(self) -> None:  # noqa: B027 - most studies are given no files
        """Raise ConfigError or DataError where a folder that an option names is not there; nothing is written yet.

        Apart from ``check``: sizes of a profile that nobody runs here are right without its pictures.
        """

    @abstractmethod
    def run(self, lab: Lab) -> StudyPage:
        """Do the experiment, write results and figures to ``lab.out``, return its page.

        Parts that take long are ``lab.trials``.
        """

    @classmethod
    def with_options(cls, given: Mapping[str, Option]) -> Self:
        """Return the study with options of params.yaml; ConfigError for what it does not know or take."""
        try:
            check_options(cls.name, cls, given)
        except ValueError as error:
            raise ConfigError(f"study {cls.name}: {error}") from None
        return cls(**given)


def option(default: T, text: str) -> T:
    """Return a field of a study with its help."""
    field: T = dataclasses.field(default=default, metadata={"help": text})
    return field


def at_least_one(study: Study, *names: str) -> None:
    """Raise ConfigError unless the named options are 1 or more."""
    for name in names:
        value: Any = getattr(study, name)
        if value < 1:
            raise ConfigError(f"--{name.replace('_', '-')}: {value} is not a positive whole number")


def chosen(study: Study, name: str, allowed: Mapping[str, T]) -> dict[str, T]:
    """Return the entries of ``allowed`` that the option ``name`` lists, separated by commas, in its order.

    Raises ConfigError for an unknown one, which names the nearest, and for one that is named twice.
    """
    from pipeline.errors import nearest

    flag, names = f"--{name.replace('_', '-')}", getattr(study, name).split(",")
    for one in names:
        if one not in allowed:
            raise ConfigError(f"{flag}: unknown '{one}'; {nearest(one, allowed)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"{flag} names one twice")
    return {one: allowed[one] for one in names}
