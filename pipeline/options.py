"""Options that are the fields of a dataclass: of an analysis, of a study. Loads nothing heavy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.errors import brief, nearest

Option = bool | int | float | str


def options_of(kind: type[Any]) -> dict[str, Option]:
    """Return the options of a dataclass with their defaults."""
    return {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[misc]


def check_options(name: str, kind: type[Any], given: Mapping[str, Option]) -> None:
    """Raise ValueError for an option that the dataclass ``kind``, called ``name``, does not know or take."""
    defaults = options_of(kind)
    for option, value in given.items():
        if option not in defaults:
            known = nearest(option, defaults) if defaults else f"{name} has none"
            raise ValueError(f"option {brief(option)} does not exist; {known}")
        kinds = (int, float) if isinstance(defaults[option], float) else (type(defaults[option]),)
        if type(value) not in kinds:
            raise ValueError(f"{option} must be of type {kinds[-1].__name__}, got {brief(value)}")
