"""What people see of several stages at a time: on a terminal a table that stays below, else lines."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.console import complain, console, say

_REFRESH = 4  # times a second, on a terminal
_LINE_SECONDS = 60.0  # without a terminal: what is at work, so often


class Display:
    """The stages at work with their last line of progress, how many have ended, and the time left."""

    def __init__(self, total: int) -> None:
        """``total``: the number of stages."""
        self.total, self.done = total, 0
        self.left: Callable[[], float | None] = lambda: None  # seconds until all has ended; None: nobody knows
        self._started: dict[str, float] = {}
        self._progress: dict[str, str] = {}
        self._guard = threading.Lock()
        self._spoke = time.monotonic()
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=_REFRESH, transient=True)

    def __enter__(self) -> Self:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def start(self, stage: str) -> None:
        """Show that the command of ``stage`` runs."""
        with self._guard:
            again = stage in self._started  # its second command
            self._started.setdefault(stage, time.monotonic())
        if not again and not console.is_terminal:
            self._say(f"Running stage '{stage}'")

    def progress(self, stage: str, line: str) -> None:
        """Show the last line of progress of ``stage``."""
        with self._guard:
            self._progress[stage] = line

    def tell(self, line: str, error: bool) -> None:
        """Print a line that a stage said, on standard error if ``error``."""
        self._say(line, error)

    def end(self, stage: str, needed: bool) -> float | None:
        """Show that ``stage`` is up to date, if that ``needed`` anything; return the seconds if a command of it ran."""
        took = self._leave(stage)
        self.done += 1
        if needed:
            text = "from the cache" if took is None else clock(took)
            self._say(f"[{self.done}/{self.total}] {stage}: {text}{self._left_text()}")
        return took

    def give_up(self, stage: str, how: str) -> None:
        """Show that ``stage`` has ended, and is not up to date."""
        self._leave(stage)
        self._say(f"{stage}: {how}")

    def _say(self, line: str, error: bool = False) -> None:
        # Nobody may listen any more (`| head`); the stages go on.
        with contextlib.suppress(OSError, SystemExit):
            (complain if error else say)(line)

    def _leave(self, stage: str) -> float | None:
        with self._guard:
            self._progress.pop(stage, None)
            began = self._started.pop(stage, None)
        return None if began is None else time.monotonic() - began

    def tick(self) -> None:
        """Without a terminal say now and then what is at work."""
        if console.is_terminal or time.monotonic() - self._spoke < _LINE_SECONDS:
            return
        self._spoke = time.monotonic()
        with self._guard:
            at_work = [f"{stage} ({self._progress.get(stage) or clock(self._age(stage))})" for stage in self._started]
        if at_work:
            self._say(f"at work: {', '.join(at_work)}{self._left_text()}")

    def running(self) -> dict[str, float]:
        """Return the stages whose commands run, and for how many seconds."""
        with self._guard:
            return {stage: self._age(stage) for stage in self._started}

    def _age(self, stage: str) -> float:
        return time.monotonic() - self._started[stage]

    def _left_text(self) -> str:
        left = self.left()
        return f"; about {clock(left)} left" if left and left >= 1.0 else ""

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        with self._guard:
            rows = [(stage, clock(self._age(stage)), self._progress.get(stage, "")) for stage in self._started]
        for row in rows:
            table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
        bar = ProgressBar(self.total, self.done, width=30)
        table.add_row(Text(f"{self.done} of {self.total} stages"), "", bar, Text(self._left_text().lstrip("; ")))
        return table


def clock(seconds: float) -> str:
    """Return a length of time for people: ``41 s``, ``7 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
