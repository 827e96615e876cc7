"""What can be said before a run: of params.yaml, of the pictures, of the full-size models."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import Add, positive
from pipeline.console import say, warn
from pipeline.errors import ConfigError, brief, nearest


def register(add: Add) -> None:
    """Add ``check``, ``check-data`` and ``check-paper``."""
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
    paper.add_argument("--batch", type=positive, default=1, help="default: 1; the papers' 12 and 16 need more memory")
    paper.add_argument("--profile", default="paper", help="default: paper")


def _check(arguments: argparse.Namespace, options: list[str]) -> int:
    from pipeline.datasets.check import source_of
    from pipeline.feasibility.possible import check_networks
    from pipeline.params import load_params
    from pipeline.searches.flows import FlowSpace
    from pipeline.studies.catalogue import STUDIES
    from pipeline.studies.searches import study_space

    params = load_params()
    check_networks(params)
    for profile, studies in params.studies.items():
        for name, given in studies.items():
            if name not in STUDIES:
                raise ConfigError(f"params.yaml: study '{name}' does not exist; {nearest(name, STUDIES)}")
            study = STUDIES[name].with_options(given)
            study.check()
            if profile == params.profile:
                study.check_inputs()
    for search in params.searches.studies:
        study_space(search, params).check()
    for search, config in params.searches.flows.items():
        FlowSpace(search, config, params).check()
    say(f"params.yaml is valid: profile {params.profile}, variants {', '.join(params.compared)}")
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
    from pipeline.config import DatasetConfig
    from pipeline.datasets.catalogue import DATASETS
    from pipeline.datasets.check import Source, check_sources, source_of
    from pipeline.params import load_params

    if arguments.dataset:
        if arguments.dataset not in DATASETS:
            raise ConfigError(f"unknown data set {brief(arguments.dataset)}; {nearest(arguments.dataset, DATASETS)}")
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
    from pipeline.params import load_params

    params = load_params().model_copy(update={"profile": arguments.profile})
    tasks = [arguments.task] if arguments.task else list(params.tasks)
    variants = [arguments.variant] if arguments.variant else list(params.variants)
    from pipeline.feasibility.profile import check_models, print_rows

    rows = check_models(params, tasks, variants, arguments.batch)
    print_rows(rows, params.profile, arguments.batch)
    return 1 if any(row.faults for row in rows) else 0
