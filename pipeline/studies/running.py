"""From a study and its options to its results, its page and its run in MLflow: the one way for stage and command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipeline.config import RuntimeConfig
from pipeline.console import say
from pipeline.errors import ConfigError
from pipeline.files import writable_folder
from pipeline.layout import study_folder
from pipeline.reporting.study_page import StudyPage, write_page
from pipeline.studies.contract import Study
from pipeline.studies.lab import Lab
from pipeline.tracking.identity import Identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import Run, open_run
from pipeline.training.run_key import run_key


def run_study(study: Study, root: Path, out: Path, runtime: RuntimeConfig, profile: str) -> StudyPage:
    """Run ``study``, write its results and page.json to ``out``, return the page.

    What an interrupted one has done is in ``root``'s .runs, found again by equal options and code. ``profile``: whose
    sizes these are, "own" for options from the command line. Raises what ``study.check`` and ``study.check_inputs`` do,
    before anything is written.
    """
    study.check()
    study.check_inputs()
    writable_folder(out)
    stage, options = f"study_{study.name}", dataclasses.asdict(study)
    tags = {"study": study.name, "profile": profile}
    key = run_key(stage, options, [])
    identity = Identity(f"study-{study.name}", tags, key, supersedes=tuple(tags))
    origin = provenance(root, stage, profile)
    with open_run(root, identity, runtime.tracking_uri, origin) as run:
        run.params(options)
        lab = Lab(root, out, identity, runtime, origin)
        page = study.run(lab)
        write_page(out, page)
        _log(run, out, page)
    lab.forget()
    return page


def run_stage(kind: type[Study], root: Path) -> Path:
    """Run the study as params.yaml has it; return the folder of its results."""
    from pipeline.params import load_params

    params = load_params()
    options = params.studies_of_profile
    if kind.name not in options:
        raise ConfigError(f"params.yaml: studies.{params.profile} has no {kind.name}; add `{kind.name}: {{}}` there")
    out = study_folder(root, kind.name)
    page = run_study(kind.with_options(options[kind.name]), root, out, params.runtime, params.profile)
    for line in page.found:
        say(f"{kind.name}: {line}")
    return out


def _log(run: Run, out: Path, page: StudyPage) -> None:
    for table in page.tables:
        run.table(table.title, [dict(zip(table.columns, row, strict=True)) for row in table.rows])
    for figure in page.figures:
        run.image(out / figure.file, f"study/{Path(figure.file).stem}")
    run.artifact(out, "study")
