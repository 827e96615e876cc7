"""How long a run took: a table of tasks x stages in minutes, variants and seeds summed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.config import SHIELDED
from pipeline.console import console

_ALL = "in all"


def print_minutes(took: Iterable[tuple[str, float]], tasks: Sequence[str]) -> None:
    """Print ``minutes_table`` of the stages and seconds that ``pipeline.timings.since`` returns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    columns, rows = minutes_table(took, tasks)
    table = Table(title=Text("minutes", "bold"), title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(Text(column), justify="right", overflow="fold")
    for name, minutes in rows.items():
        table.add_row(Text(name), *("" if value is None else f"{value:.1f}" for value in minutes))
    console.print(table)


def minutes_table(
    took: Iterable[tuple[str, float]], tasks: Sequence[str]
) -> tuple[list[str], dict[str, list[float | None]]]:
    """Return the columns, and by row its minutes; None where a task has no such stage among ``took``.

    ``took``: names of stages as DVC writes them (``train@lol-affine-10``) and seconds, a stage that ran twice, twice.
    A row per task in the order of ``tasks`` and a column per stage in the order in which they ended, the stages of
    shielded variants with those of the others; a stage without a task has a row of its own. The last row and the last
    column are sums.
    """
    seconds: dict[tuple[str, str | None], float] = {}
    for name, length in took:
        stage, _, item = name.partition("@")
        stage, task = stage.removesuffix(SHIELDED), _task_of(item, tasks)
        key = (stage, task) if task else (name, None)
        seconds[key] = seconds.get(key, 0.0) + length
    stages = list(dict.fromkeys(stage for stage, task in seconds if task))
    rows: dict[str, list[float | None]] = {}
    for task in tasks:
        found = [seconds.get((stage, task)) for stage in stages]
        if any(value is not None for value in found):
            rows[task] = [*found, _sum(found)]
    for (name, task), length in seconds.items():
        if not task:
            rows[name] = [*(None for _ in stages), length]
    rows[_ALL] = [_sum(column) for column in zip(*rows.values(), strict=True)]
    minutes = {name: [None if value is None else value / 60 for value in row] for name, row in rows.items()}
    return [*stages, _ALL], minutes


def _task_of(item: str, tasks: Sequence[str]) -> str | None:
    """Return the task of a stage's item: ``lol`` of ``lol-affine-10``; the longest, as names may hold hyphens."""
    found = [task for task in tasks if item == task or item.startswith(f"{task}-")]
    return max(found, key=len, default=None)


def _sum(values: Iterable[float | None]) -> float:
    return sum(value for value in values if value is not None)
