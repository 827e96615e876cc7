"""Ray on this machine, or the cluster of RAY_ADDRESS; of all that its processes print, people see what we say.

A worker marks its lines, and this process prints the marked ones. Ray's own, hundreds for a single dead worker, stay
in its log files.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import SteadyflowError

_SHOWN = 300  # characters of what Ray says
_MARK = "\x1d"  # the first character of a line that a worker says to people


class RayDidNotStart(SteadyflowError):
    """Ray could not be started or joined; a machine that is too busy for its half minute is enough."""


def set_ray_up() -> None:
    """Set what Ray reads from the environment when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # else every line of a worker appears twice
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else its C++ writes on our standard error


def connect(**own: Any) -> None:
    """Join the cluster of RAY_ADDRESS, or start Ray on this machine with the options ``own``.

    Signals are handled afterwards as they were before; Ray would abort in C++ at SIGTERM. Raises RayDidNotStart.
    """
    import ray
    import ray._private.worker as internals

    address = os.environ.get("RAY_ADDRESS")
    # one name for both that Ray prints: lines of workers, and what raylets complain of
    internals.print_to_stdstream = _relay
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    local = {"address": "local", **own, **quoted_python()}
    try:
        with _speechless():
            ray.init(**({"address": address} if address else local), logging_level=logging.CRITICAL)
    except Exception as error:  # Ray raises plain ones
        ray.shutdown()
        why = str(error).strip().partition("\n")[0][:_SHOWN]
        raise RayDidNotStart(f"Ray does not start ({why})") from None
    finally:
        with contextlib.suppress(ValueError):  # off the main thread neither Ray nor we can
            for number, handler in handlers.items():
                signal.signal(number, handler)
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # Ray sets its loggers anew


@contextlib.contextmanager
def _speechless() -> Iterator[None]:
    """In this block, drop what is written on standard error: Ray's C++ says there that it was told to be quiet."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def quoted_python() -> dict[str, Any]:
    """Return the options of ``ray.init`` without which no worker starts below a folder with a space in its name.

    Ray puts the interpreter's path into a shell command as it is.
    """
    quoted = shlex.quote(sys.executable)
    return {} if quoted == sys.executable else {"runtime_env": {"py_executable": quoted}}


def _relay(data: Mapping[str, Any], ignore_prefix: bool) -> None:
    """Print what workers said to people; stands in the place of Ray's function of the same arguments."""
    sink = sys.stderr if data["is_err"] else sys.stdout
    for line in data["lines"]:
        if line.startswith(_MARK):
            print(line[len(_MARK) :], file=sink, flush=True)


@contextlib.contextmanager
def said_to_people(wanted: bool) -> Iterator[None]:
    """In this block of a worker, mark every line that is printed; or, where it is not ``wanted``, none."""
    if not wanted:
        yield
        return
    with contextlib.redirect_stdout(_Marked(sys.stdout)), contextlib.redirect_stderr(_Marked(sys.stderr)):
        yield


class _Marked(io.TextIOBase):
    """A stream of text whose lines are marked and written whole."""

    encoding = "utf-8"  # Ray reads its workers' lines so

    def __init__(self, inner: TextIO) -> None:
        self.inner, self.rest = inner, ""

    def write(self, text: str) -> int:
        """Write the lines that ``text`` ends; keep what comes after them."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.inner.write(f"{_MARK}{line}\n")
        self.inner.flush()
        return len(text)
