"""From a search to its results: trials that have not ended run side by side, then the table, the plot, the winner."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.config import RuntimeConfig
from pipeline.console import progress, say
from pipeline.files import writable_folder
from pipeline.layout import search_folder
from pipeline.reporting.study_page import StudyPage
from pipeline.searches.judging import axes
from pipeline.searches.outputs import PLOT, write_outputs
from pipeline.searches.space import Space
from pipeline.searches.stamp import write_stamp
from pipeline.searches.trial import DIVERGED, STOPPED, Result, SearchTrial, find
from pipeline.tracking.identity import Identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import Run, open_run
from pipeline.training.loop import Values
from pipeline.training.ray_search import Halving, run_trials
from pipeline.training.run_key import run_key

_PARAMS = {"study", "task", "variant", "seed", "base"}  # what a search is known by; the grids may grow


def run_search(space: Space, root: Path, runtime: RuntimeConfig, out: Path | None = None) -> StudyPage:
    """Run the trials that have not ended, write the results to ``out``, by default searches/<name>; return the page.

    Trials are known by their settings and their code, so that a search which was interrupted goes on, and one that was
    given another value runs that alone. What they found is in ``root``'s .runs. Raises ConfigError for a search that
    cannot be and DataError for inputs that are missing, before anything is written.
    """
    if runtime.threads == "auto":  # sums in another order would make trials depend on how many run at a time
        runtime = runtime.model_copy(update={"threads": 1})
    tags = {"search": space.name, "profile": space.profile}
    key = run_key(space.stage, {"origin": space.origin()}, [])
    parent = Identity(f"search-{space.name}", tags, key, supersedes=tuple(tags))
    trials = space.trials(root, parent, runtime)
    out = writable_folder(out or search_folder(root, space.name))
    origin = provenance(root, space.stage, space.profile, space.task)
    with open_run(root, parent, runtime.tracking_uri, origin) as run:
        run.params(space.config.model_dump(mode="json", include=_PARAMS))
        run.note({"steadyflow.varied": ", ".join(space.varied)})
        _carry_out(space, trials, root, runtime, origin)
        results = [result for trial in trials if (result := trial.result()) is not None]
        page = write_outputs(out, space, trials, results)
        _log(run, out, page, results)
    write_stamp(root)
    return page


def run_stage(space: Space, root: Path, runtime: RuntimeConfig) -> None:
    """Run a search of params.yaml and tell people what came out."""
    for line in run_search(space, root, runtime).found:
        say(f"{space.name}: {line}")
    say(f"{space.name}: trials, plot and winner in {search_folder(root, space.name).relative_to(root)}")


def _carry_out(
    space: Space, trials: Sequence[SearchTrial], root: Path, runtime: RuntimeConfig, origin: Mapping[str, str]
) -> None:
    for trial in trials:
        _tell(trial, runtime, origin)  # a search that was killed may not have come to it
    todo = [trial for trial in trials if trial.result() is None]
    done = progress(itertools.repeat(None, len(todo)), f"search {space.name}", len(trials), len(trials) - len(todo))

    def ended(number: int, last: Values) -> None:
        trial = todo[number]
        if trial.result() is None:  # its process was stopped before the work came to its end
            trial.keep(_stopped(space, last))
        _tell(trial, runtime, origin)
        next(done, None)

    config = space.config
    quality, _ = axes(config)
    halving = None
    if config.scheduler == "asha":
        halving = Halving(quality, config.metrics[quality], config.grace, config.reduction)
    run_trials(
        functools.partial(find, space.work),
        todo,
        runtime,
        root,
        space.name,
        ended,
        halving,
    )


def _stopped(space: Space, last: Values) -> Result:
    values = {name: last.get(name) for name in space.config.metrics}
    missing = {name: "not measured before it was stopped" for name, value in values.items() if value is None}
    return Result(STOPPED, f"stopped at step {last['step']:.0f}, others were better by then", values, missing)


def _tell(trial: SearchTrial, runtime: RuntimeConfig, origin: Mapping[str, str]) -> None:
    """Send the run of a trial that has ended, once: the process that did its work has only written it down."""
    result = trial.result()
    if result is None or trial.told():
        return
    with open_run(trial.root, trial.identity, runtime.tracking_uri, origin) as run:
        run.note({"mlflow.runName": trial.label, "steadyflow.status": result.status})
        if result.reason:
            run.note({"steadyflow.reason": result.reason})
        run.metrics(result.values)
    if run.run_id is not None:  # else the server has not taken it: the next time
        trial.mark_told()


def _log(run: Run, out: Path, page: StudyPage, results: Sequence[Result]) -> None:
    run.metrics(
        {"trials": len(results)} | {status: sum(r.status == status for r in results) for status in (DIVERGED, STOPPED)}
    )
    for table in page.tables:
        run.table(table.title, [dict(zip(table.columns, row, strict=True)) for row in table.rows])
    run.image(out / PLOT, "search/tradeoff")
    run.artifact(out, "search")
