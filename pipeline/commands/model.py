"""A model folder put to use: ``sample``, ``evaluate``, ``stability``; ``import`` and ``shield`` make one."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import (
    OWN_TEMPERATURE,
    Add,
    decibels,
    draws,
    folder_to_write,
    names,
    place,
    positive,
    quantile,
    temperature,
)
from pipeline.console import say
from pipeline.shielding.usual import QUANTILE


def register(add: Add) -> None:
    """Add ``sample``, ``evaluate``, ``stability``, ``shield`` and ``import``."""
    sample = add("sample", _sample, "restore one picture with a trained model")
    sample.add_argument(
        "--model", type=place, required=True, help="a model folder, e.g. artifacts/df2k_x4/seed10/affine/model"
    )
    sample.add_argument("--input", type=place, required=True, help="the degraded picture")
    sample.add_argument(
        "--out", type=folder_to_write, default=Path("restored"), help="folder for the draws (default: restored)"
    )
    _add_drawing(sample, 4)

    evaluate = add("evaluate", _evaluate, "restore pictures whose originals are known and measure the result")
    evaluate.add_argument("--model", type=place, required=True, help="a model folder")
    evaluate.add_argument(
        "--reference", type=place, required=True, help="the originals (HR, or well lit): a folder, or one picture"
    )
    evaluate.add_argument(
        "--input",
        type=place,
        help="what is restored (LR, or dark), of equal names; default: the originals made small by bicubic",
    )
    evaluate.add_argument("--out", type=folder_to_write, required=True, help="folder for samples and evaluation")
    _add_drawing(evaluate, 10)
    evaluate.add_argument(
        "--quantization", default="floor", help="to 8 bits: floor (default, as the published code does) or round"
    )

    stability = add("stability", _stability, "audit a trained model for exploding inverses")
    stability.add_argument("--model", type=place, required=True, help="a model folder")
    stability.add_argument("--out", type=folder_to_write, required=True, help="folder for the findings")
    stability.add_argument("--temperature", type=temperature, help=OWN_TEMPERATURE)
    stability.add_argument(
        "--analyses", type=names, metavar="A,B,C", help="what is run: names, or all (default: all that take seconds)"
    )
    stability.add_argument(
        "--inputs",
        type=place,
        metavar="FOLDER",
        help="degraded pictures of your own, audited beside the stress inputs; the centre, 96 pixels, of larger ones",
    )

    shield = add(
        "shield", _shield, "make a trained model safe on inputs that no photograph resembles, without training"
    )
    shield.add_argument("--model", type=place, required=True, help="a model folder; an imported one, too")
    shield.add_argument(
        "--pictures", type=place, required=True, help="photographs, undegraded: a folder, or one picture"
    )
    shield.add_argument(
        "--input",
        type=place,
        help="their degraded counterparts, of equal names; default: made small by bicubic, which low light cannot",
    )
    shield.add_argument("--out", type=folder_to_write, required=True, help="the model folder to write")
    how_far = shield.add_mutually_exclusive_group()
    how_far.add_argument(
        "--quantile",
        type=quantile,
        help=f"share of the photographs' values that is clamped at each end (default: {QUANTILE:g})",
    )
    how_far.add_argument(
        "--budget",
        type=decibels,
        metavar="DB",
        help="take the largest quantile whose draws keep to so many dB of the unshielded ones, e.g. 55",
    )

    published = add("import", _import, "turn a published checkpoint into a model folder")
    published.add_argument("--weights", type=place, required=True, help="the .pth of a published network")
    published.add_argument("--options", type=place, help="the .yml that it was trained with")
    published.add_argument("--out", type=folder_to_write, required=True, help="the model folder to write")
    published.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change an option, as the published commands do, e.g. network_G.flow.CondAffineSeparatedAndCond.eps=0.1",
    )


def _add_drawing(command: argparse.ArgumentParser, usual: int) -> None:
    command.add_argument("--draws", type=draws, help=f"default: {usual}, or 1 at temperature 0")
    command.add_argument("--temperature", type=temperature, help=OWN_TEMPERATURE)
    command.add_argument("--seed", type=int, default=10, help="default: 10")
    command.add_argument(
        "--tile",
        type=positive,
        metavar="PIXELS",
        help="restore in tiles of so many rows and columns of the input, beside what they overlap by; default: the "
        "whole picture, or tiles if it needs too much memory",
    )


def _sample(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.inference.restore import restore_file

    written = restore_file(
        arguments.model,
        arguments.input,
        arguments.out,
        arguments.draws,
        arguments.temperature,
        arguments.seed,
        tile=arguments.tile,
    )
    say(f"{len(written)} draws in {arguments.out}")
    return 0


def _evaluate(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.commands.evaluation import evaluate_model

    evaluate_model(
        arguments.model,
        arguments.reference,
        arguments.input,
        arguments.out,
        arguments.draws,
        arguments.temperature,
        arguments.seed,
        arguments.quantization,
        arguments.tile,
    )
    say(f"every figure:  {arguments.out / 'evaluation'} (metrics.json, per_picture.csv, grid.jpg)")
    say(f"the pictures:  {arguments.out / 'samples'}")
    return 0


def _stability(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.commands.audit import audit_model

    audit_model(arguments.model, arguments.out, arguments.temperature, arguments.analyses, arguments.inputs)
    say(f"findings in {arguments.out} (summary.json, tables, a draw of every stress input)")
    return 0


def _shield(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.commands.shielding import shield_model

    shield_model(
        arguments.model, arguments.pictures, arguments.input, arguments.out, arguments.quantile, arguments.budget
    )
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
