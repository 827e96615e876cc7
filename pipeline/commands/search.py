"""Searches of params.yaml: ``search NAME``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import Add


def register(add: Add) -> None:
    """Add ``search``."""
    search = add(
        "search",
        _search,
        "run a search of params.yaml, or go on with it",
        passes_on=True,
        epilog="Other options go to dvc repro as they are. Trials that have ended are not run again.",
    )
    search.add_argument("name", metavar="NAME", help="a search of params.yaml")


def _search(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.console import say
    from pipeline.errors import ConfigError, brief, nearest
    from pipeline.params import load_params
    from pipeline.repro.run import reproduce
    from pipeline.settings import write_settings

    params, name = load_params(), arguments.name
    stages = dict.fromkeys(params.searches.studies, "search") | dict.fromkeys(params.searches.flows, "search_flow")
    if name not in stages:
        raise ConfigError(f"params.yaml: unknown search {brief(name)}; {nearest(name, stages)}")
    root = Path.cwd()
    target = f"{stages[name]}@{name}"
    code, made = reproduce(root, options, None, params.runtime, target, lambda: write_settings(root, params))
    if made and not code:
        say(f"searches/{name} is up to date; `steadyflow repro` puts it into the report")
    return code
