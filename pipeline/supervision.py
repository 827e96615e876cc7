"""What a stage knows of the ``steadyflow repro`` that started it: whether it lives, and that it shows progress.

The driver holds one end of a pipe and no process else does, so the other end tells a stage of the driver's death,
whatever killed it and whatever shell stands between them. The stage then stops as if it had been sent SIGTERM.
"""

from __future__ import annotations

import os
import signal
import stat
import threading

from pipeline.errors import printable

ALIVE = "STEADYFLOW_DRIVER_ALIVE"  # the number of the pipe's end
SHOWN = "STEADYFLOW_PROGRESS_SHOWN"  # set: the driver shows the last line of progress
PROGRESS_MARK = "\x1e"  # the first character of a line of progress: the next one takes its place


def shown_by_driver() -> bool:
    """Return whether lines of progress are for a driver."""
    return SHOWN in os.environ


def tell_progress(line: str) -> None:
    """Tell the driver a line of progress."""
    print(f"{PROGRESS_MARK}{printable(line)}", flush=True)


_held: list[int] = []  # the pipe's end, once it is looked at


def hand_on() -> None:
    """Leave to the program that takes this one's place what ``stop_with_driver`` took from the environment."""
    for pipe in _held:
        os.set_inheritable(pipe, True)
        os.environ[ALIVE] = str(pipe)


def stop_with_driver() -> None:
    """Have SIGTERM sent to this process when its driver dies; without a driver do nothing."""
    number = os.environ.pop(ALIVE, "")  # processes that this one starts do not have the pipe
    if not number.isdigit():
        return
    pipe = int(number)
    try:
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            return
    except OSError:  # a shell between has closed it
        return
    os.set_inheritable(pipe, False)
    _held.append(pipe)
    threading.Thread(target=_wait_for_end, args=(pipe,), name="driver", daemon=True).start()


def _wait_for_end(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
