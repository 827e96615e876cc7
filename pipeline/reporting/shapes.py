"""What the JSON files of the stages must hold to be read: a file that something else wrote is named, not stumbled over.

Only what a reader relies on is checked; further entries may stand beside it.
"""

from __future__ import annotations

from typing import Any

import pydantic

from pipeline.errors import brief, printable

Numbers = dict[str, float | None]


class _Found(pydantic.BaseModel):
    profile: str
    run_key: str


class _Training(_Found):
    nll: float | None = None
    bits_per_dim: float | None = None
    validation_nll: float | None = None
    validation_bits_per_dim: float | None = None
    minutes: float | None = None
    parameters: int | None = None
    steps: int | None = None
    skipped_steps: int | None = None
    returns: int | None = None
    collapsed: bool = False


class _Picture(pydantic.BaseModel):
    id: str
    draws: list[dict[str, Any]]


class _Samples(_Found):
    temperature: float
    pictures: list[_Picture]


class _Evaluation(_Found):
    pictures: int
    draws: int
    metrics: Numbers
    baseline: Numbers
    reasons: dict[str, str] = {}


class _Verdict(pydantic.BaseModel):
    level: str


class _Stability(_Found):
    analyses: dict[str, Numbers] = {}
    reasons: dict[str, str] = {}
    verdict: _Verdict | None = None


_SHAPES: dict[str, type[_Found]] = {
    "train": _Training,
    "sample": _Samples,
    "evaluate": _Evaluation,
    "stability": _Stability,
}


def check_shape(stage: str, content: Any) -> Any:
    """Return ``content``, of the file that says that ``stage`` is done; ValueError, in a line, for another shape."""
    try:
        _SHAPES[stage].model_validate(content)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(printable(str(part)[:70]) for part in fault["loc"]) or "all of it"
        raise ValueError(f"{where}: {fault['msg'].lower()}, got {brief(fault['input'])}") from None
    return content
