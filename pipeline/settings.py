"""The resolved settings, defaults filled in: what DVC compares, since a result depends on values and not on text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Params
from pipeline.files import read_json, write_json
from pipeline.layout import settings_path


def resolved(params: Params) -> dict[str, Any]:
    """Return what artifacts/settings.json holds: the chosen profile's values, without the runtime's."""
    tasks = {
        name: {
            "problem": task.model_dump(mode="json"),
            "source": params.dataset(name).model_dump(mode="json"),
            **params.settings(name).model_dump(mode="json"),
        }
        for name, task in params.tasks.items()
    }
    variants = {name: variant.model_dump(mode="json") for name, variant in params.variants.items()}
    shields = {name: shield.model_dump(mode="json") for name, shield in params.shields.items()}
    return {
        "profile": params.profile,
        "seeds": list(params.seeds),
        "tasks": tasks,
        "variants": variants,
        "shields": shields,
        "studies": params.studies_of_profile,
        "searches": params.searches.model_dump(mode="json"),
    }


def write_settings(root: Path, params: Params) -> Path:
    """Write artifacts/settings.json unless it says the same already; return its path."""
    path, content = settings_path(root), resolved(params)
    try:
        same = read_json(path) == content
    except (OSError, ValueError):
        same = False
    return path if same else write_json(path, content)
