"""Errors that a user can mend: one line that says what was wrong, where, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return a hint such as ``did you mean 'affine'? allowed: affine, bounded``."""
    names = sorted(str(a) for a in allowed)
    match = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{match[0]}'? " if match else ""
    return f"{hint}allowed: {', '.join(names)}"
