"""The papers' stand-alone experiments: ``study NAME``."""

from __future__ import annotations

import argparse
import dataclasses
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import Add, Parser, folder_to_write
from pipeline.studies.catalogue import STUDIES


def register(add: Add) -> None:
    """Add ``study`` with one sub-command per entry of STUDIES, whose fields are its options, and ``papers``."""
    study = add("study", _study, "run one of the papers' stand-alone experiments")
    chosen = study.add_subparsers(metavar="NAME", required=True, parser_class=Parser)
    for name, kind in STUDIES.items():
        experiment = chosen.add_parser(name, help=kind.title, description=kind.title)
        experiment.set_defaults(study=kind)
        experiment.add_argument("--out", type=folder_to_write, required=True, help="folder for the results")
        for field in dataclasses.fields(kind):
            flag = f"--{field.name.replace('_', '-')}"
            text = f"{field.metadata['help']} (default: %(default)s)"
            # a text is never false: a bool is --name or --no-name
            is_bool = isinstance(field.default, bool)
            how: dict[str, Any] = {"action": BooleanOptionalAction} if is_bool else {"type": type(field.default)}
            experiment.add_argument(flag, default=field.default, help=text, **how)
    add("papers", _papers, "print the papers' figures beside those that the studies of the last run found")


def _papers(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.console import say
    from pipeline.errors import DataError
    from pipeline.layout import study_folder
    from pipeline.params import load_params
    from pipeline.reporting.study_page import markdown, read_page

    pages = [read_page(study_folder(Path.cwd(), name)) for name in load_params().studies_of_profile]
    if not any(pages):
        raise DataError("no study has run yet; `make repro` runs them")
    say(markdown([page for page in pages if page is not None]))
    return 0


def _study(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.config import PARAMS_FILE, RuntimeConfig
    from pipeline.console import say
    from pipeline.params import load_params
    from pipeline.studies.running import run_study

    root, kind = Path.cwd(), arguments.study
    study = kind(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(kind)})
    runtime = load_params().runtime if (root / PARAMS_FILE).exists() else RuntimeConfig()
    page = run_study(study, root, arguments.out, runtime, "own")
    for line in page.found:
        say(line)
    say(f"results and figures in {arguments.out}")
    return 0
