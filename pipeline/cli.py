"""``steadyflow``: the command line. Modules that import torch are loaded by the command that needs them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pipeline.commands import champion, check, model, ratings, repro, search, study, verify
from pipeline.commands.arguments import Parser
from pipeline.console import run_main

_GROUPS = (repro, check, verify, model, champion, study, search, ratings)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; ``arguments.command`` is the function that runs one."""
    parser = Parser(
        prog="steadyflow",
        description="Train conditional normalizing flows for image restoration and audit their stability.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def add(name: str, function: Any, text: str, passes_on: bool = False, **options: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, **options)
        command.set_defaults(command=function, passes_on=passes_on)
        return command

    for group in _GROUPS:
        group.register(add)
    return parser


def run() -> None:
    """Parse the command line, run its command and leave with its exit code."""
    parser = build_parser()
    arguments, options = parser.parse_known_args()
    if options and not arguments.passes_on:
        parser.error(f"unknown: {' '.join(options)}")
    sys.exit(arguments.command(arguments, options))


def main() -> None:
    """Entry point of ``steadyflow``."""
    run_main(run)


if __name__ == "__main__":
    main()
