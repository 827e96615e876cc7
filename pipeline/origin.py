"""From which model a result is: the first fields of every result file."""

from __future__ import annotations

from typing import Any

FIELDS = ("task", "variant", "profile", "run_key")


def origin_of(source: Any) -> dict[str, str]:
    """Return the fields of ``source``, a model's configuration or what was read of a result file."""
    return {name: getattr(source, name) for name in FIELDS}
