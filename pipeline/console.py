"""What people see on the terminal: progress with time left, one-line errors, a summary at the end."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline import supervision, timings
from pipeline.errors import Interrupted, StartAnew, SteadyflowError, printable

T = TypeVar("T")
console = Console(highlight=False, soft_wrap=True)
# What a file system refuses: which entry, and what to do about it.
_OF_FILES = {
    errno.EACCES: "permission denied; give it to yourself, or choose another place",
    errno.EPERM: "not permitted; choose another place",
    errno.EROFS: "the file system can only be read; choose another place",
    errno.EISDIR: "is a folder, where a file is meant; move it away or choose another place",
    errno.ENOTDIR: "a file stands where a folder is meant; move it away or choose another place",
    errno.EEXIST: "a file stands where a folder is meant; move it away or choose another place",
    errno.ENAMETOOLONG: "the name is too long for the file system; shorten it",
    errno.ELOOP: "a link that leads in a circle; remove it",
    errno.EIO: "the disk cannot be read or written; see the system's log",
}
_LONGEST_PATH = 400  # characters of one that is shown
_LINE_SECONDS = 10.0  # without a terminal: one line so often
_SHOWN_SECONDS = 1.0  # where `steadyflow repro` shows the last one


def say(text: str) -> None:
    """Print one line for people (rich markup is not interpreted)."""
    console.print(_shown(text), markup=False)


def warn(text: str) -> None:
    """Print one line of warning on standard error."""
    complain(f"warning: {text}")


def complain(line: str) -> None:
    """Print a line on standard error; what came from files cannot command the terminal."""
    print(_shown(line), file=sys.stderr, flush=True)


def _shown(text: str) -> str:
    encoding = console.encoding  # a terminal need not know every character
    return printable(text, keep="\n\t").encode(encoding, "backslashreplace").decode(encoding)


def progress(items: Iterable[T], what: str, total: int | None = None, start: int = 0) -> Iterator[T]:
    """Yield ``items`` while showing a bar with time left (on a terminal) or a line every ten seconds.

    ``total`` is the number of items when ``items`` has no length; ``start`` counts items done earlier.
    """
    if total is None:
        total = start + len(items)  # type: ignore[arg-type]
    if console.is_terminal and not supervision.shown_by_driver():
        yield from _bar(items, what, total, start)
    else:
        yield from _lines(items, what, total, start)


def _bar(items: Iterable[T], what: str, total: int, start: int) -> Iterator[T]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), TextColumn("left"), console=console) as bar:
        task = bar.add_task(_shown(what), total=total, completed=start)
        for item in items:
            yield item
            bar.advance(task)


def _lines(items: Iterable[T], what: str, total: int, start: int) -> Iterator[T]:
    began = spoke = time.monotonic()
    driven = supervision.shown_by_driver()
    pause, tell = (_SHOWN_SECONDS, supervision.tell_progress) if driven else (_LINE_SECONDS, say)
    for done, item in enumerate(items, start + 1):
        yield item
        now = time.monotonic()
        if now - spoke >= pause and done < total:
            left = (now - began) / (done - start) * (total - done)
            tell(f"{what}: {done}/{total}, {left:.0f} s left")
            spoke = now
    if driven and spoke > began:
        tell("")  # what follows is something else


def quiet_libraries() -> None:
    """Keep warnings of libraries from drowning what a stage says; errors still show."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network at import
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)  # Ray sets the levels of its loggers anew when it is imported
    for name in ("alembic", "mlflow", "ray", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _surroundings(error: OSError) -> str:
    """Return the line for a fault of the file system; what is not one is raised again."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" for {error.filename}" if error.filename else ""
        return f"error: no disk space left{where}; free some and run the same command again"
    if error.errno not in _OF_FILES or error.filename is None:
        raise error
    name = str(error.filename2 or error.filename)
    name = name if len(name) <= _LONGEST_PATH else f"{name[:_LONGEST_PATH]}..."
    return f"error: {name}: {_OF_FILES[error.errno]}"


def run_main(main: Callable[[], None]) -> None:
    """Run an entry point: a user's mistake is one line and exit code 2, Ctrl-C or SIGTERM 130, success 0.

    StartAnew is no end: the same command runs from its beginning, in this process and with its environment.
    """
    quiet_libraries()
    supervision.stop_with_driver()
    try:
        with _sigterm_as_ctrl_c():
            _run(main)
    except (KeyboardInterrupt, Interrupted):  # told again, after the first was told or as its telling began
        sys.exit(130)
    timings.record()


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore signals to stop in this block: one to a process group comes twice, and would cut off the line."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start_anew(anew: StartAnew) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    supervision.hand_on()
    os.environ.update(anew.environment)
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError as error:
        raise SteadyflowError(f"{anew}, but {sys.executable} does not start ({error.strerror})") from None


def _run(main: Callable[[], None]) -> None:
    try:
        try:
            main()
        except StartAnew as anew:
            _start_anew(anew)
    except Interrupted as stop:
        with _undisturbed():
            complain(f"stopped: {stop}")
        sys.exit(130)
    except SteadyflowError as error:
        complain(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        with _undisturbed():
            complain("stopped: the same command continues where it can")
        sys.exit(130)
    except OSError as error:
        complain(_surroundings(error))
        sys.exit(2)
