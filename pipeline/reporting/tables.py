"""The comparison of all variants as rows: of the report, of comparison.csv and of the terminal."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import Params
from pipeline.console import console, say
from pipeline.files import write_csv
from pipeline.reporting.paper_figures import HUMAN_ERRORS, PAPER_TABLES, PaperTable
from pipeline.reporting.results import Rows, TaskResults, crops_and_photographs, load_results, number
from pipeline.reporting.rows import NOT_PRINTED, ComparisonRow, over_seeds
from pipeline.reporting.verdicts import agreement
from pipeline.reporting.wording import Wording, wording_of
from pipeline.stability.evidence import BORDERLINE

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.metrics.evaluate import Evaluation
    from pipeline.stability.contract import Number

REPORT_FILE = Path("report") / "report.html"
_WORD, _LABEL = 8, 9  # characters of a cell's word that is not broken, and of the names of rows, in a narrow terminal
_HYPHENATED: dict[str, str] = {BORDERLINE: "border-\nline"}  # words of cells that are longer than that
_ENDLESS = 10_000  # characters, of a terminal into which every table fits
_PICTURES, _STABILITY = "Restored pictures", "Stability audit"
PAPER_COLUMNS = ("paper: affine", "paper: bounded", "paper: rq_spline")  # of comparison.csv
# summary.json of a training -> title, unit, better
_TRAINING = {
    "validation_bits_per_dim": ("Negative log-likelihood, held-out crops", "bits/dim", "lower"),
    "bits_per_dim": ("Negative log-likelihood, training, mean of the last tenth", "bits/dim", "lower"),
    "skipped_steps": ("Training steps skipped (not finite)", "steps", "lower"),
    "returns": ("Times that the training went back to its last good state", "", "lower"),
    "steps": ("Training steps", "steps", ""),
    "minutes": ("Training time", "minutes", ""),
    "parameters": ("Parameters (they differ by the number of outputs of the conditional nets)", "", ""),
}
_COLLAPSED = "Collapsed: ends far worse on held-out crops than it was before"
_ERRORS_ON_STRESS = (
    *("bad_pixels.inputs_with_bad_pixels_stress", "bad_pixels.bad_share_stress"),
    "bad_pixels.bad_share_stress_before_tails",  # what compares a shielded variant with the others
)


def comparison(root: Path, params: Params) -> list[ComparisonRow]:
    """Return the rows for all tasks and variants of ``params``, in the order in which they are shown."""
    return [row for results in load_results(root, params) for row in task_rows(results)]


def task_rows(results: TaskResults) -> list[ComparisonRow]:
    """Return the rows of one task over its seeds: metrics of pictures, audit, training; empty if no stage has run."""
    return over_seeds(
        [*_metric_rows(one), *_rating_rows(one), *_audit_rows(one), *_training_rows(one)]
        for one in (results, *results.repeats)
    )


def how_drawn(results: TaskResults) -> str:
    """Return how many draws of a picture there are and at which temperature: as samples.json says, else as planned."""
    sampling = results.settings.sampling
    drawn = [result.samples for result in results.variants.values() if result.samples]
    draws = {len(entry["draws"]) for samples in drawn for entry in samples["pictures"]} or {sampling.draws}
    temperatures = {samples["temperature"] for samples in drawn} or {sampling.temperature}
    counts, heats = (" or ".join(f"{value:g}" for value in sorted(values)) for values in (draws, temperatures))
    return f"{counts} draws of each at temperature {heats}"


def group_headings(results: TaskResults) -> dict[str, str]:
    """Return under which conditions the rows of a group were measured, by group."""
    crops, photographs = crops_and_photographs(results)
    audit = results.settings.stability
    held_out = f"{crops} held-out crops of {photographs} photographs" if crops > photographs else f"{crops} held out"
    return {
        _PICTURES: f"{held_out}, {how_drawn(results)}",
        _STABILITY: f"{audit.pictures} held-out crops and the stress inputs, {audit.draws} draws of each "
        f"at temperature {audit.temperature:g}",
    }


def paper_rows(results: TaskResults, found: Iterable[ComparisonRow]) -> list[ComparisonRow]:
    """Return those of ``task_rows`` that paper A's table has, in its order, then the errors on stress inputs.

    Errors that people see have a row without values until somebody has rated ours. Empty without any of ours.
    """
    rows = {row.name: row for row in found}
    if (paper := PAPER_TABLES.get(results.task)) is None or not rows:
        return []
    if HUMAN_ERRORS in paper.rows and HUMAN_ERRORS not in rows:
        rows[HUMAN_ERRORS] = _human_row(results, paper)
    return [rows[name] for name in (*paper.rows, *_ERRORS_ON_STRESS) if name in rows]


def write_comparison(path: Path, tasks: Iterable[tuple[TaskResults, list[ComparisonRow]]], params: Params) -> Path:
    """Write comparison.csv: one line per row of each task, two columns per variant, the paper's figures in their own.

    ``<variant> sd`` is the standard deviation over the seeds; it is empty where fewer than two have a value.
    """
    variants = list(params.compared)
    head = ["task", "profile", "seeds", "pictures", "group", "metric", "title", "unit", "better"]
    lines = [
        {
            "task": row.task,
            "profile": params.profile,
            "seeds": " ".join(map(str, params.seeds)),
            "pictures": task.demo,
            "group": row.group,
            "metric": row.name,
            "title": row.title,
            "unit": row.unit,
            "better": row.better,
            "baseline": row.baseline,
            **{**row.values, **row.words},
            **{f"{variant} sd": row.spread.get(variant) for variant in variants},
            **dict(zip(PAPER_COLUMNS, row.paper, strict=True)),
        }
        for task, rows in tasks
        for row in rows
    ]
    return write_csv(
        path, [*head, *variants, *(f"{variant} sd" for variant in variants), "baseline", *PAPER_COLUMNS], lines
    )


def print_summary(root: Path, params: Params) -> None:
    """Print the variants' main figures per task, where the report is, and what to type next."""
    every = load_results(root, params)
    for results in every:
        rows = [row for row in task_rows(results) if row.name in wording_of(results.kind).main]
        if not rows:
            say(f"{results.task}: not yet run; `make repro` runs it")
            continue
        seeds = f"mean ± sd of {len(params.seeds)} seeds" if results.repeats else ""
        title = ", ".join(part for part in (results.task, f"{params.profile} profile", results.demo, seeds) if part)
        _print_main(title, rows, wording_of(results.kind))
    if agreed := agreement(every):
        say(f"verdicts:  {agreed.sentence}")
    report = root / REPORT_FILE
    if report.is_file():
        say(f"report:    {report}")
        say("next:      open the report in a browser; `make ui` compares the runs in MLflow")


def print_evaluation(evaluation: Evaluation, temperature: float) -> None:
    """Print the main figures of one model's restorations beside the baseline's."""
    samples, pictures = evaluation.samples, len(evaluation.per_picture)
    draws = len(samples.pictures[0].draws)
    units = {"pictures": f"pictures of {pictures}", "draws": f"draws of {pictures * draws}"}
    rows = [
        _metric_row(samples.task, name, {samples.variant: value}, evaluation.baseline[name], units)
        for name, value in evaluation.metrics.items()
    ]
    drawn = f"{pictures} pictures, {draws} draws of each at temperature {temperature:g}"
    _print_main(f"{samples.task}, {samples.variant}: {drawn}", rows, wording_of(samples.kind))


def _print_main(title: str, rows: Iterable[ComparisonRow], words: Wording) -> None:
    """Print those of ``rows`` that ``words.main`` names, in its order, under their short names."""
    from rich.measure import Measurement

    found = {row.name: row for row in rows}
    named = {short: found[name] for name, short in words.main.items() if name in found}
    table = _main_table(title, named, words.baseline, narrow=False)
    if Measurement.get(console, console.options.update(max_width=_ENDLESS), table).maximum > console.width:
        table = _main_table(title, named, words.baseline, narrow=True)
    console.print(table)
    console.print()


def _main_table(title: str, named: dict[str, ComparisonRow], baseline: str, narrow: bool) -> Table:
    """Return the table of a terminal; ``narrow``: names in lines of one word each, columns as wide as these need."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    heads = ["", *next(iter(named.values())).values, baseline]
    rows = [
        [f"{', '.join(filter(None, (short, _short(row.unit))))} {row.arrow}"]
        + [row.text(variant).replace(" ± ", "\n±") for variant in row.values]
        + [row.baseline_text]
        for short, row in named.items()
    ]
    widths: list[int | None] = [None] * len(heads)
    if narrow:
        heads = [re.sub("[_ ]", "\n", head) for head in heads]
        rows = [[label, *map(_broken, cells)] for label, *cells in rows]
        widths = _narrow_widths(heads, rows)
    table = Table(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for index, (head, width) in enumerate(zip(heads, widths, strict=True)):
        table.add_column(Text(head), justify="right" if index else "left", overflow="fold", width=width)
    for row, (label, *cells, last) in zip(named.values(), rows, strict=True):
        styled = (Text(cell, "bold" if name in row.best else "") for name, cell in zip(row.values, cells, strict=True))
        table.add_row(Text(label), *styled, Text(last))
    return table


def _broken(cell: str) -> str:
    """Return the text of a cell with line ends where a narrow column may break it."""
    return re.sub("(?<=_)", "\n", _HYPHENATED.get(cell, cell))


def _narrow_widths(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int | None]:
    """Return the widths of columns, the names of rows first, in which no word of a head and no short one of a cell is
    broken; None is what is left. Where that is too little for names, words are broken after all.
    """
    fixed = []
    for head, *cells in list(zip(heads, *rows, strict=True))[1:]:
        short = (min(len(word), _WORD) for cell in cells for word in cell.split())
        fixed.append(max((*map(len, head.split()), *short)))
    if sum(fixed) + len(fixed) + _LABEL <= console.width:
        return [None, *fixed]
    return [_LABEL, *(None for _ in fixed)]


def _short(unit: str) -> str:
    """Return a unit for narrow tables: of a count just how many there are."""
    return unit.removeprefix("pictures ").removeprefix("crops ").partition(" (")[0]


def _metric_rows(results: TaskResults) -> list[ComparisonRow]:
    from pipeline.metrics import METRICS

    found = {variant: result.evaluation or {} for variant, result in results.variants.items()}
    if not any(found.values()):
        return []
    paper = PAPER_TABLES.get(results.task)
    printed = paper.rows if paper else {}
    first = next(content for content in found.values() if content)
    draws = first["pictures"] * first["draws"]
    units = {"pictures": _pictures_unit(results, first["pictures"]), "draws": f"draws of {draws}"}
    rows = []
    measured = {name for content in found.values() for name in content.get("metrics", ())}
    for name in (name for name in METRICS if name in measured):
        values = {variant: content.get("metrics", {}).get(name) for variant, content in found.items()}
        row = _metric_row(results.task, name, values, first["baseline"].get(name), units)
        rows.append(dataclasses.replace(row, paper=printed.get(name, NOT_PRINTED), reasons=_reasons(found, name)))
    return rows


def _rating_rows(results: TaskResults) -> list[ComparisonRow]:
    rated = any(result.ratings for result in results.variants.values())
    return [_human_row(results, PAPER_TABLES.get(results.task))] if rated else []


def _human_row(results: TaskResults, paper: PaperTable | None) -> ComparisonRow:
    found = {variant: result.ratings or {} for variant, result in results.variants.items()}
    values = {variant: content.get("human_errors") for variant, content in found.items()}
    reasons = {v: found[v].get("reason", "nobody has rated ours") for v, value in values.items() if value is None}
    counts = {content["pictures"] for content in found.values() if content}
    unit = f"pictures of {' or '.join(map(str, sorted(counts)))}" if counts else "pictures"
    title = "Pictures that more than 3 of 5 people judged erroneous"
    printed = paper.rows.get(HUMAN_ERRORS, NOT_PRINTED) if paper else NOT_PRINTED
    return ComparisonRow(
        results.task, _PICTURES, HUMAN_ERRORS, title, unit, "lower", values, paper=printed, reasons=reasons
    )


def _metric_row(
    task: str, name: str, values: dict[str, float | None], baseline: float | None, units: dict[str, str]
) -> ComparisonRow:
    from pipeline.metrics import METRICS

    metric = METRICS[name]
    unit = units.get(metric.unit, metric.unit)
    return ComparisonRow(task, _PICTURES, name, metric.title, unit, metric.better, values, baseline)


def _pictures_unit(results: TaskResults, evaluated: int) -> str:
    crops, photographs = crops_and_photographs(results)
    return f"crops of {evaluated} ({photographs} photographs)" if crops > photographs else f"pictures of {evaluated}"


def _audit_rows(results: TaskResults) -> list[ComparisonRow]:
    summaries = {variant: result.stability or {} for variant, result in results.variants.items()}
    found = {variant: summary.get("analyses", {}) for variant, summary in summaries.items()}
    rows = [*_verdict_row(results.task, summaries)]
    for analysis, name, said in _audit_numbers(found):
        full = f"{analysis}.{name}"
        values = {v: _scaled(numbers.get(analysis, {}).get(name), said.factor) for v, numbers in found.items()}
        row = ComparisonRow(results.task, _STABILITY, full, said.title, said.unit, said.better, values)
        rows.append(dataclasses.replace(row, reasons=_reasons(summaries, full), says_why=True))
    return rows


def _verdict_row(task: str, summaries: dict[str, dict[str, Any]]) -> Iterator[ComparisonRow]:
    """Yield the row of the audits' verdicts, if any of them has one."""
    levels = {v: summary["verdict"]["level"] for v, summary in summaries.items() if "verdict" in summary}
    if levels:
        nothing = dict.fromkeys(summaries)
        yield ComparisonRow(task, _STABILITY, "verdict.level", "Verdict", "", "", nothing, words=levels)


def _audit_numbers(found: dict[str, dict[str, dict[str, Any]]]) -> Iterator[tuple[str, str, Number]]:
    """Yield analysis, name and words of all numbers that any variant has, in the order in which they are shown.

    ``found[variant][analysis]``. What no analysis says any more stands last, under its own name.
    """
    from pipeline.stability.analyses import ANALYSES
    from pipeline.stability.contract import Number

    order = [*ANALYSES, *(analysis for numbers in found.values() for analysis in numbers)]
    for analysis in dict.fromkeys(order):
        known = ANALYSES.get(analysis)
        names = list(dict.fromkeys(name for numbers in found.values() for name in numbers.get(analysis, {})))
        for name in known.ordered(names) if known else names:
            said = known.number(name) if known else None
            yield analysis, name, said or Number(f"{analysis}: {name}".replace("_", " "), better="")


def _training_rows(results: TaskResults) -> list[ComparisonRow]:
    found = {
        variant: {**result.training, "bits_per_dim": _last_steps(result.curve)} if result.training else {}
        for variant, result in results.variants.items()
    }
    if not any(found.values()):
        return []
    values = {name: {variant: content.get(name) for variant, content in found.items()} for name in _TRAINING}
    reasons = {variant: f"as {one.shielded}" for variant, one in results.variants.items() if one.shielded}
    judged = {variant: content["collapsed"] for variant, content in found.items() if "collapsed" in content}
    words = {variant: "yes" if collapsed else "no" for variant, collapsed in judged.items()}
    rows = [
        *(
            ComparisonRow(results.task, "Training", name, title, unit, better, values[name])
            for name, (title, unit, better) in _TRAINING.items()
        ),
        ComparisonRow(results.task, "Training", "collapsed", _COLLAPSED, "", "", dict.fromkeys(found), words=words),
    ]
    return [dataclasses.replace(row, reasons=reasons, says_why=True) for row in rows]


def _last_steps(curve: Rows) -> float | None:
    """Return the mean bits per dimension of the last tenth of the logged steps: that of one batch is noise."""
    bits = [number(row["bits_per_dim"]) for row in curve[-max(1, len(curve) // 10) :]]
    return sum(bits) / len(bits) if bits and all(map(math.isfinite, bits)) else None


def _reasons(found: dict[str, dict[str, Any]], name: str) -> dict[str, str]:
    every = {variant: content.get("reasons", {}).get(name) for variant, content in found.items()}
    return {variant: reason for variant, reason in every.items() if reason}


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
