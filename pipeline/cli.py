"""``steadyflow``: the command line. Modules that import torch are loaded by the command that needs them."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from pipeline import timings
from pipeline.console import run_main, say, warn
from pipeline.errors import ConfigError, nearest
from pipeline.studies import STUDIES

_OWN_TEMPERATURE = "default: the model's own, see temperature in its config.json"
_DRY = {"--dry", "--help", "-h"}  # options of dvc repro that run nothing


class _Parser(argparse.ArgumentParser):
    """Wrong use is one line and exit code 2, without the usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see: {self.prog} --help\n")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def _temperature(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number >= 0")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return value


def _add_drawing(command: argparse.ArgumentParser, usual: int) -> None:
    command.add_argument("--draws", type=_positive, help=f"default: {usual}, or 1 at temperature 0")
    command.add_argument("--temperature", type=_temperature, help=_OWN_TEMPERATURE)
    command.add_argument("--seed", type=int, default=10, help="default: 10")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; ``arguments.command`` is the function that runs one."""
    parser = _Parser(
        prog="steadyflow",
        description="Train conditional normalizing flows for image restoration and audit their stability.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, function: Any, text: str, **options: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, **options)
        command.set_defaults(command=function)
        return command

    add(
        "repro",
        _repro,
        "run every stage that is not up to date",
        epilog="Other options go to dvc repro as they are.",
    )
    add("check", _check, "say whether params.yaml is valid and where the pictures come from")
    data = add("check-data", _check_data, "look at every picture of a source and tell all faults at once")
    which = data.add_mutually_exclusive_group()
    which.add_argument("--task", help="a task of params.yaml (default: all of them)")
    which.add_argument("--dataset", help="a data set by name, with --source")
    data.add_argument("--source", default="demo", help="with --dataset: its folder (default: demo)")
    data.add_argument("--allow-partial", action="store_true", help="with --dataset: what is missing is no fault")
    paper = add(
        "check-paper",
        _check_paper,
        "build every full-size model, take two optimizer steps and one draw at the paper's crop",
        epilog="Pictures are made up and the encoder is not pretrained: no data is needed. Device and threads are "
        "those of params.yaml (runtime).",
    )
    paper.add_argument("--task", help="a task of params.yaml (default: all of them)")
    paper.add_argument("--variant", help="a variant of params.yaml (default: all of them)")
    paper.add_argument("--batch", type=_positive, default=1, help="default: 1; the papers' 12 and 16 need more memory")
    paper.add_argument("--profile", default="paper", help="default: paper")
    add("summary", _summary, "print the comparison of the last run")

    ui = add("ui", _ui, "show the runs in MLflow")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    ui.add_argument("--port", type=_port, default=5000, help="default: 5000")

    sample = add("sample", _sample, "restore one picture with a trained model")
    sample.add_argument(
        "--model", type=Path, required=True, help="a model folder, e.g. artifacts/df2k_x4/seed10/affine/model"
    )
    sample.add_argument("--input", type=Path, required=True, help="the degraded picture")
    sample.add_argument("--out", type=Path, default=Path("restored"), help="folder for the draws (default: restored)")
    _add_drawing(sample, 4)

    evaluate = add("evaluate", _evaluate, "restore pictures whose originals are known and measure the result")
    evaluate.add_argument("--model", type=Path, required=True, help="a model folder")
    evaluate.add_argument(
        "--reference", type=Path, required=True, help="the originals (HR, or well lit): a folder, or one picture"
    )
    evaluate.add_argument(
        "--input",
        type=Path,
        help="what is restored (LR, or dark), of equal names; default: the originals made small by bicubic",
    )
    evaluate.add_argument("--out", type=Path, required=True, help="folder for samples and evaluation")
    _add_drawing(evaluate, 10)
    evaluate.add_argument(
        "--quantization", default="floor", help="to 8 bits: floor (default, as the published code does) or round"
    )

    stability = add("stability", _stability, "audit a trained model for exploding inverses")
    stability.add_argument("--model", type=Path, required=True, help="a model folder")
    stability.add_argument("--out", type=Path, required=True, help="folder for the findings")
    stability.add_argument("--temperature", type=_temperature, help=_OWN_TEMPERATURE)

    study = add("study", _study, "run one of the papers' stand-alone experiments")
    chosen = study.add_subparsers(metavar="NAME", required=True, parser_class=_Parser)
    for name, kind in STUDIES.items():
        experiment = chosen.add_parser(name, help=kind.title, description=kind.title)
        experiment.set_defaults(study=kind)
        experiment.add_argument("--out", type=Path, required=True, help="folder for the results")
        for field in dataclasses.fields(kind):
            flag = f"--{field.name.replace('_', '-')}"
            text = f"{field.metadata['help']} (default: %(default)s)"
            experiment.add_argument(flag, type=type(field.default), default=field.default, help=text)

    published = add("import", _import, "turn a published checkpoint into a model folder")
    published.add_argument("--weights", type=Path, required=True, help="the .pth of a published network")
    published.add_argument("--options", type=Path, help="the .yml that it was trained with")
    published.add_argument("--out", type=Path, required=True, help="the model folder to write")
    published.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change an option, as the published commands do, e.g. network_G.flow.CondAffineSeparatedAndCond.eps=0.1",
    )
    return parser


def _repro(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.config import load_params

    root = Path.cwd()
    params = load_params()
    start = timings.position(root)
    code = _run_dvc(options)
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
    width = max(len(stage) for stage, _ in took)
    say("\nminutes per stage")
    for stage, seconds in [*took, ("in all", sum(seconds for _, seconds in took))]:
        say(f"  {stage:{width}}  {seconds / 60:6.1f}")
    return 0


def _run_dvc(options: list[str]) -> int:
    """Run ``dvc repro`` of this environment to its end, also when told to stop; return the exit code.

    Ctrl-C reaches every process of the terminal, so the stage is already saving its state: wait for it.
    SIGTERM reaches this process alone and is passed on. Stages start as ``python``: this interpreter.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    told: list[int] = []
    dvc: list[subprocess.Popen[bytes]] = []

    def stop(signum: int, frame: object) -> None:
        told.append(signum)
        if signum == signal.SIGTERM and dvc:
            dvc[0].send_signal(signum)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        command = [sys.executable, "-m", "pipeline.quiet_dvc", "repro", *options]
        # DVC orders equal stages by hash: with a fixed seed a run that goes on takes up the stage it was in.
        dvc.append(subprocess.Popen(command, env={"PYTHONHASHSEED": "0", **os.environ, "PATH": path}))
        code = dvc[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 130 if told and code else code


def _check(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.config import load_params
    from pipeline.datasets.check import source_of

    params = load_params()
    say(f"params.yaml is valid: profile {params.profile}, variants {', '.join(params.variants)}")
    for task in params.tasks:
        source = source_of(task, params)
        listing = source.listing(Path.cwd())
        targets = [picture.split for picture in listing.pictures if picture.role == "target"]
        count = {split: targets.count(split) for split in ("train", "validation")}
        where = f"{source.data_set.name} from {source.settings.source}"
        say(f"{task}: {where}, {count['train']} for training and {count['validation']} held out")
        for remark in [*listing.faults, *(f"missing: {what}" for what in listing.missing)]:
            warn(remark)
    return 0


def _check_data(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.config import DatasetConfig, load_params
    from pipeline.datasets import DATASETS
    from pipeline.datasets.check import Source, check_sources, source_of

    if arguments.dataset:
        if arguments.dataset not in DATASETS:
            raise ConfigError(f"unknown data set '{arguments.dataset}'; {nearest(arguments.dataset, DATASETS)}")
        settings = DatasetConfig(source=arguments.source, allow_partial=arguments.allow_partial)
        sources = [Source(DATASETS[arguments.dataset], settings)]
    elif arguments.source != "demo" or arguments.allow_partial:
        raise ConfigError("--source and --allow-partial go with --dataset NAME; a task's are in params.yaml")
    else:
        params = load_params()
        sources = [source_of(task, params) for task in ([arguments.task] if arguments.task else params.tasks)]
    check_sources(sources, Path.cwd())
    return 0


def _check_paper(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.config import load_params

    params = load_params().model_copy(update={"profile": arguments.profile})
    tasks = [arguments.task] if arguments.task else list(params.tasks)
    variants = [arguments.variant] if arguments.variant else list(params.variants)
    from pipeline.trials.profile import check_models, print_rows

    rows = check_models(params, tasks, variants, arguments.batch)
    print_rows(rows, params.profile, arguments.batch)
    return 1 if any(row.faults for row in rows) else 0


def _summary(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.config import load_params

    params = load_params()
    from pipeline.reporting.tables import print_summary

    print_summary(Path.cwd(), params)
    return 0


def _ui(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.config import load_params
    from pipeline.ui import serve_ui

    serve_ui(Path.cwd(), arguments.host, arguments.port, load_params().runtime.tracking_uri)
    return 0


def _sample(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.inference.restore import restore_file

    written = restore_file(
        arguments.model, arguments.input, arguments.out, arguments.draws, arguments.temperature, arguments.seed
    )
    say(f"{len(written)} draws in {arguments.out}")
    return 0


def _evaluate(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.evaluation import evaluate_model

    evaluate_model(
        arguments.model,
        arguments.reference,
        arguments.input,
        arguments.out,
        arguments.draws,
        arguments.temperature,
        arguments.seed,
        arguments.quantization,
    )
    say(f"every figure:  {arguments.out / 'evaluation'} (metrics.json, per_picture.csv, grid.jpg)")
    say(f"the pictures:  {arguments.out / 'samples'}")
    return 0


def _stability(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.stability.audit import audit_model

    audit_model(arguments.model, arguments.out, arguments.temperature)
    say(f"findings in {arguments.out}")
    return 0


def _study(arguments: argparse.Namespace, options: list[str]) -> int:
    kind = arguments.study
    kind(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(kind)}).run(arguments.out)
    return 0


def _import(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.upstream import import_upstream
    from pipeline.upstream.model import LICENCE

    overrides = [part for text in arguments.override for part in text.split("|")]  # robustNF joins them by |
    model = import_upstream(arguments.weights, arguments.options, arguments.out, overrides)
    size = f"scale {model.config.scale}, {model.values / 1e6:.2f} M values"
    say(f"{model.family.name}, {size}: all {model.tensors} tensors used, model folder {arguments.out}")
    for note in model.notes:
        say(f"note: {note}")
    say(LICENCE)
    return 0


def run() -> None:
    """Parse the command line, run its command and leave with its exit code."""
    parser = build_parser()
    arguments, options = parser.parse_known_args()
    if options and arguments.command is not _repro:
        parser.error(f"unknown: {' '.join(options)}")
    sys.exit(arguments.command(arguments, options))


def main() -> None:
    """Entry point of ``steadyflow``."""
    run_main(run)


if __name__ == "__main__":
    main()
