"""The pipeline: ``repro`` runs it, ``summary`` prints what came out, ``ui`` shows the runs."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from pipeline import timings
from pipeline.commands.arguments import Add, port
from pipeline.commands.minutes import print_minutes
from pipeline.console import say

_DRY = {"--dry", "--help", "-h"}  # options of dvc repro that run nothing


def register(add: Add) -> None:
    """Add ``repro``, ``summary`` and ``ui``."""
    add(
        "repro",
        _repro,
        "run every stage that is not up to date",
        passes_on=True,
        epilog="Other options go to dvc repro as they are.",
    )

    add("summary", _summary, "print the comparison of the last run")

    ui = add("ui", _ui, "show the runs in MLflow")
    ui.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only); 0.0.0.0: all of them"
    )
    ui.add_argument("--port", type=port, default=5000, help="default: 5000")


def _repro(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.params import load_params
    from pipeline.searches.stamp import write_stamp
    from pipeline.settings import write_settings

    root = Path.cwd()
    params = load_params()
    write_settings(root, params)  # a dry run shows what follows from them, and makes none itself
    write_stamp(root)
    start = timings.position(root)
    code = run_dvc(options)
    took = timings.since(root, start)
    if code and "--dry" in options:
        say("a dry run shows stages up to the first whose inputs are not there yet; without --dry they are made")
    if code or _DRY & set(options):
        return code
    from pipeline.reporting.tables import print_summary

    print_summary(root, params)
    if not took:
        say("nothing to do: every stage is up to date")
        return 0
    print_minutes(took, list(params.tasks))
    return 0


def run_dvc(options: list[str]) -> int:
    """Run ``dvc repro`` of this environment to its end, also when told to stop; return the exit code.

    Ctrl-C reaches every process of the terminal, so the stage is already saving its state: wait for it.
    SIGTERM reaches this process alone and is passed on. Stages start with this interpreter (``stages/run``).
    """
    told: list[int] = []
    dvc: list[subprocess.Popen[bytes]] = []

    def stop(signum: int, frame: object) -> None:
        told.append(signum)
        if signum == signal.SIGTERM and dvc:
            dvc[0].send_signal(signum)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        command = [sys.executable, "-m", "pipeline.commands.quiet_dvc", "repro", *options]
        # DVC orders equal stages by hash: with a fixed seed a run that goes on takes up the stage it was in.
        environment = {"PYTHONHASHSEED": "0", **os.environ, "STEADYFLOW_PYTHON": sys.executable}
        dvc.append(subprocess.Popen(command, env=environment))
        code = dvc[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 130 if told and code else code


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
