"""Errors that a user, or who looks after the machine, can mend.

One line: what was wrong, where, what is allowed, what to do.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

_LONGEST = 80  # characters of a value, or of a name, in one message
_MOST_NAMES = 40  # allowed names in one message


class _Short(reprlib.Repr):
    """``repr`` that looks at a few entries of a value only: of aliased YAML the whole text may be gigabytes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 2, _LONGEST, _LONGEST
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 4

    def repr_int(self, x: int, level: int) -> str:
        """Return a number that can be written out, else its size: Python writes out no more than 4,300 digits."""
        return repr(x) if x.bit_length() < 200 else f"a whole number of {x.bit_length()} bits"

    def repr_bytes(self, x: bytes, level: int) -> str:
        """Return the first bytes."""
        return repr(x[:_LONGEST])


_SHORT = _Short()


class SteadyflowError(Exception):
    """A user's mistake or a fault of the surroundings; its text is the whole message (no traceback)."""


class ConfigError(SteadyflowError):
    """params.yaml says something that it may not say."""


class DataError(SteadyflowError):
    """A source of pictures is missing, incomplete or unreadable."""


class CheckpointError(SteadyflowError):
    """Weights that are missing, damaged or of another network."""


class DivergenceError(SteadyflowError):
    """Training met more non-finite losses or gradients than it may."""


class TrackingError(SteadyflowError):
    """The MLflow server refuses what it is asked."""


class Interrupted(SteadyflowError):
    """The run was told to stop and saved its state."""


class StartAnew(SteadyflowError):
    """This process cannot go on, but its command can: ``pipeline.console.run_main`` starts it anew in its place.

    ``environment``: variables that it is given beside those that there are.
    """

    def __init__(self, message: str, environment: dict[str, str]) -> None:
        super().__init__(message)
        self.environment = environment


def brief(value: Any) -> str:
    """Return ``repr`` of a value as one printable line of at most 80 characters, whatever the value's size."""
    text = printable(_SHORT.repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def printable(text: str, keep: str = "") -> str:
    r"""Return ``text`` with what a terminal would obey (control characters, reversed text) written as ``\x1b``.

    Characters of ``keep`` stay, such as line ends. So does all that is printed as it is, in any script.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode("ascii") for one in text
    )


def nearest(name: str, allowed: Iterable[str], shown: Iterable[str] | None = None) -> str:
    """Return a hint such as ``did you mean 'affine'? allowed: affine, bounded``.

    ``shown``: what is listed in the place of ``allowed``, where that is too long to read.
    """
    allowed = [str(a) for a in allowed]
    match = difflib.get_close_matches(name[:_LONGEST], sorted(allowed), n=1, cutoff=0.5)
    names = sorted(allowed if shown is None else shown)
    hint = f"did you mean '{match[0]}'? " if match else ""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{hint}allowed: {', '.join(names[:_MOST_NAMES])}{more}"
