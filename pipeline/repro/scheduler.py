"""Which stage starts when: independent ones side by side, the one that most waits for first."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.repro.display import Display
from pipeline.repro.expected import Plan
from pipeline.repro.slots import Environment

_TICK = 0.25  # seconds
_SAME_SIGNAL = 2.0  # seconds: one sent to a process and to its group comes twice

Outcome = bool | BaseException  # whether the stage had to be run, or why it failed
Work = Callable[[str, Environment], bool]


class Scheduler:
    """Runs the stages of ``plan``, each by ``work(name, slot)`` in a thread of its own while it has the slot.

    ``on_error``: as in DVC, "fail" starts nothing after a failure, "keep-going" what does not need the failed stage,
    "ignore" everything. ``complain_of`` is told at once which stage failed and why. ``stop`` is called with each signal
    that tells this process to stop; nothing starts after one.
    """

    def __init__(
        self,
        plan: Plan,
        work: Work,
        slots: list[Environment],
        display: Display,
        stop: Callable[[int], None],
        complain_of: Callable[[str, BaseException], None] = lambda name, error: None,
        on_error: str = "fail",
    ) -> None:
        self._plan, self._work, self._free, self._display = plan, work, list(slots), display
        self._stop, self._complain_of, self._on_error = stop, complain_of, on_error
        self._events: queue.SimpleQueue[tuple[str, Outcome] | int] = queue.SimpleQueue()
        self._settled: set[str] = set()  # nothing needs to wait for them any more
        self._begun: set[str] = set()  # started, or never to be
        self._at_work: dict[str, Environment] = {}
        self.failed: dict[str, BaseException] = {}
        self.told = False
        display.left = self._left

    def run(self) -> bool:
        """Run until nothing is at work and nothing can start; return whether every stage has ended well."""
        with self._signals(), self._display:
            self._start_ready()
            while self._at_work:
                try:
                    self._take(self._events.get(timeout=_TICK))
                except queue.Empty:
                    self._display.tick()
        return self._settled == set(self._plan.needs) and not self.failed

    def _start_ready(self) -> None:
        if self.told or (self.failed and self._on_error == "fail"):
            return
        for name in self._plan.ready(self._settled, self._begun)[: len(self._free)]:
            self._begun.add(name)
            self._at_work[name] = self._free.pop(0)
            threading.Thread(target=self._turn, args=(name, self._at_work[name]), name=name, daemon=True).start()

    def _turn(self, name: str, slot: Environment) -> None:
        try:
            outcome: Outcome = self._work(name, slot)
        except BaseException as error:  # it is the main thread's to judge
            outcome = error
        self._events.put((name, outcome))

    def _take(self, event: tuple[str, Outcome] | int) -> None:
        if isinstance(event, int):
            self.told = True
            self._stop(event)
            return
        name, outcome = event
        self._free.insert(0, self._at_work.pop(name))
        if isinstance(outcome, BaseException):
            self._fail(name, outcome)
        else:
            took = self._display.end(name, outcome)
            if took is not None:
                self._plan.took(name, took)
            self._settled.add(name)
        self._start_ready()

    def _fail(self, name: str, error: BaseException) -> None:
        self._display.give_up(name, "stopped" if self.told else "failed")
        if self.told:
            return
        self.failed[name] = error
        self._complain_of(name, error)
        if self._on_error == "ignore":
            self._settled.add(name)
        else:
            self._begun |= self._plan.dependents(name)

    def _left(self) -> float | None:
        """Return the seconds until all has ended; None while nobody knows."""
        running = self._display.running()
        pending = [name for name in self._plan.needs if name not in self._begun]
        return self._plan.left(pending, running, len(self._free) + len(self._at_work))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Have SIGINT and SIGTERM tell the main thread, each once."""
        last = -_SAME_SIGNAL

        def tell(signum: int, frame: FrameType | None) -> None:
            nonlocal last
            if time.monotonic() - last >= _SAME_SIGNAL:
                last = time.monotonic()
                self._events.put(signum)

        before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
