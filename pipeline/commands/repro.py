"""The pipeline: ``repro`` runs it, ``summary`` prints what came out, ``ui`` shows the runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import timings
from pipeline.commands.arguments import Add, port, positive
from pipeline.commands.minutes import print_minutes
from pipeline.console import say

_WHOLE = "report"  # depends on every stage but the searches, which are run by name


def register(add: Add) -> None:
    """Add ``repro``, ``summary`` and ``ui``."""
    repro = add(
        "repro",
        _repro,
        "run every stage that is not up to date",
        passes_on=True,
        epilog="Other options, and names of stages, are those of dvc repro.",
    )
    repro.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="stages at a time (default: one per GPU; without GPUs one per core, or fewer if a training takes several)",
    )

    add("summary", _summary, "print the comparison of the last run")

    ui = add("ui", _ui, "show the runs in MLflow")
    ui.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only); 0.0.0.0: all of them"
    )
    ui.add_argument("--port", type=port, default=5000, help="default: 5000")


def _repro(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.params import load_params
    from pipeline.repro.run import reproduce
    from pipeline.searches.stamp import write_stamp
    from pipeline.settings import write_settings

    root = Path.cwd()
    params = load_params()

    def before() -> None:
        write_settings(root, params)
        write_stamp(root)

    start = timings.position(root)
    code, made = reproduce(root, options, arguments.jobs, params.runtime, _WHOLE, before)
    if code or not made:
        return code
    from pipeline.reporting.tables import print_summary

    print_summary(root, params)
    took = timings.since(root, start)
    if not took:
        say("nothing to do: every stage is up to date")
        return 0
    print_minutes(took, list(params.tasks))
    return 0


def _summary(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.params import load_params

    params = load_params()
    from pipeline.reporting.tables import print_summary

    print_summary(Path.cwd(), params)
    return 0


def _ui(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.params import load_params
    from pipeline.tracking.ui import serve_ui

    serve_ui(Path.cwd(), arguments.host, arguments.port, load_params().runtime.tracking_uri)
    return 0
