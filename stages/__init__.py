"""One thin file per DVC stage: read params, call pipeline, write outputs."""

import signal
import sys
from types import TracebackType


def _say_stopped(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Take the place of a traceback where Ctrl-C or SIGTERM came while a stage was still importing what it needs."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped: the same command continues where it can", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[0] == "-m":  # python -m stages.train: this file is imported before that one
    sys.excepthook = _say_stopped
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, which says a line
