"""Human judgement: ``ratings export`` and ``ratings import``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import Add, Parser, folder_to_write, place, positive
from pipeline.console import say, warn

if TYPE_CHECKING:
    from pipeline.ratings.importing import Imported


def register(add: Add) -> None:
    """Add ``ratings`` with its two sub-commands."""
    ratings = add("ratings", lambda arguments, options: arguments.does(arguments), "have people judge restorations")
    chosen = ratings.add_subparsers(metavar="export|import", required=True, parser_class=Parser)
    export = chosen.add_parser("export", help="write blinded pictures and a page for raters")
    export.set_defaults(does=_export)
    export.add_argument("--task", required=True, help="a task of params.yaml that has been evaluated")
    export.add_argument("--seed", type=int, help="default: the first of seeds in params.yaml")
    export.add_argument("--variants", help="names, separated by commas (default: all of params.yaml)")
    export.add_argument("--what", help="draws, draws_mean or latent_mean (default: draws; draws_mean in low light)")
    export.add_argument("--draws", type=positive, default=1, help="with draws: how many of each picture (default: 1)")
    export.add_argument("--checks", type=_count, default=3, help="attention checks of each of two sorts (default: 3)")
    export.add_argument("--truth", action="store_true", help="show the original beside each picture")
    export.add_argument("--out", type=folder_to_write, required=True, help="a new folder")

    imported = chosen.add_parser("import", help="count raters' answers")
    imported.set_defaults(does=_import)
    imported.add_argument("--export", type=place, required=True, help="the folder that export wrote")
    imported.add_argument("csv", type=place, nargs="+", help="the files that raters saved")


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _export(arguments: argparse.Namespace) -> int:
    from pipeline.errors import ConfigError, brief, nearest
    from pipeline.files import writable_folder
    from pipeline.layout import variant_folder
    from pipeline.params import load_params
    from pipeline.ratings.blinding import WHAT, default_what, restorations
    from pipeline.ratings.export import FOR_RATERS, export

    root, params = Path.cwd(), load_params()
    params.task(arguments.task)
    seed = params.seeds[0] if arguments.seed is None else params.seed(arguments.seed)
    variants = arguments.variants.split(",") if arguments.variants else list(params.compared)
    for name in variants:
        params.variant(name)
    folders = {name: variant_folder(root, arguments.task, name, seed) / "samples" for name in variants}
    what = arguments.what or default_what(folders[variants[0]], arguments.task, variants[0])
    if what not in WHAT:
        raise ConfigError(f"--what: unknown {brief(what)}; {nearest(what, WHAT)}")
    found = restorations(folders, arguments.task, what, arguments.draws)
    out = writable_folder(arguments.out)
    page, key = export(found, arguments.task, seed, what, out, arguments.checks, arguments.truth)
    say(f"{len(key.pictures)} pictures of {len(variants)} variants, {2 * arguments.checks} of them attention checks")
    say(f"for raters: {page.parent} (open {page.name} in a browser; every rater gets the same folder)")
    say(f"for you alone: {out / 'key.json'}, which tells what is what; do not send it along with {FOR_RATERS}/")
    say(f"next:       steadyflow ratings import --export {arguments.out} FILES.csv")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from pipeline.ratings.importing import import_ratings
    from pipeline.ratings.tracked import log_ratings

    root = Path.cwd()
    found = import_ratings(root, arguments.export, arguments.csv)
    for remark in found.remarks:
        warn(remark)
    _print(found)
    log_ratings(root, found)
    say("next:       `make repro` puts the counts into the report")
    return 0


def _print(found: Imported) -> None:
    from pipeline.ratings.importing import PROXIES

    for variant, content in found.variants.items():
        say(
            f"{found.task} {variant}: {content['human_errors']} of {content['pictures']} pictures are erroneous to more"
            f" than 3 of 5 of {content['raters']} raters"
        )
        for name, words in PROXIES.items():
            if proxy := content["proxies"].get(name):
                say(
                    f"  {words}: flags {proxy['flagged']}, people {proxy['judged_erroneous']}, both {proxy['both']} "
                    f"of {proxy['pictures']}"
                )
    overall = next(iter(found.variants.values()))["all_variants"]
    for name, words in (("fleiss_kappa", "Fleiss' kappa"), ("krippendorff_alpha", "Krippendorff's alpha")):
        own = overall[name]
        value = own["reason"] if own["value"] is None else f"{own['value']:.3f}"
        interval = "" if own["low"] is None else f" (95 %: {own['low']:.3f} to {own['high']:.3f})"
        say(f"{words}, all variants: {value}{interval}")
