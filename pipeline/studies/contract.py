"""The contract of a study: a dataclass whose fields are the options of its command."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pipeline.errors import ConfigError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Study(ABC):
    """An experiment that needs no data set and no model: ``run`` does all of it and writes what it found.

    Every field is an option of ``steadyflow study NAME``, made with ``option``. The module loads torch and
    matplotlib in ``run`` alone, so that the command line starts quickly.
    """

    title: ClassVar[str]  # one line for the help

    @abstractmethod
    def run(self, out: Path) -> None:
        """Do the experiment and write its results to the folder ``out``; raises ConfigError for a wrong option."""


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
