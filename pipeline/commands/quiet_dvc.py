"""DVC without its chatter: ``python -m pipeline.commands.quiet_dvc repro`` is ``dvc repro`` for people.

What stays: which stage runs, what the stage prints, warnings about the pipeline, and DVC's errors,
except where the stage has already said in one line what is wrong. The exit code is the failed stage's.
SIGTERM goes to the running stage alone, so that it can save its state; DVC would leave it orphaned.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import psutil

# With --quiet DVC is silent, its errors included; these loggers keep a voice of their own.
_VOICES = {"dvc.stage.run": logging.INFO, "dvc.cli": logging.ERROR, "dvc.repo.reproduce": logging.WARNING}
_SPOKEN = (2, 130)  # exit codes of pipeline.console.run_main: the stage has printed its one line
_SAME_SIGNAL = 2.0  # seconds: one sent to the whole process group comes twice
_WHOLE = "report"  # depends on every stage but the searches, which are run by name
_SHELLS = ("sh", "dash", "bash", "zsh", "ksh", "fish")


class _StageFailures(logging.Filter):
    """Remembers the exit code of the stage that failed; hides the record if the stage has spoken."""

    status = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether DVC's record of an error adds something."""
        error = record.exc_info[1] if record.exc_info else None
        while error is not None:
            # DVC keeps the status in the text alone: "failed to run: <command>, exited with <status>"
            if match := re.search(r"exited with (-?\d+)$", str(error)):
                status = int(match[1])
                self.status = 128 - status if status < 0 else status
            error = error.__cause__
        return self.status not in _SPOKEN


def _stage_processes() -> list[psutil.Process]:
    """Return the running stage's process (not its workers, which it ends itself)."""
    stages: list[psutil.Process] = []
    for child in psutil.Process().children():
        grandchildren = child.children() if child.name() in _SHELLS else []
        stages += grandchildren or [child]
    return stages


class _PassOn:
    """Signal handler: gives a signal to the stage, once if it comes both directly and from the parent."""

    last = -math.inf  # time of the last one, s

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Pass ``signum`` on; without a running stage stop DVC, which is then at work itself."""
        if time.monotonic() - self.last < _SAME_SIGNAL:
            return
        self.last = time.monotonic()
        stages = _stage_processes()
        if not stages:
            raise KeyboardInterrupt
        for stage in stages:
            stage.send_signal(signum)


def _drop_stale_locks(file: Path) -> None:
    """Delete DVC's record of who reads and writes if none of its processes runs any more.

    DVC drops entries of dead processes itself, but takes for alive a killed process that nobody has
    reaped (usual in containers) and a stranger that was given the same number.
    """
    if file.exists() and not any(_is_dvc(int(pid)) for pid in re.findall(r'"pid": (\d+)', file.read_text())):
        file.unlink(missing_ok=True)


def _is_dvc(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any("dvc" in part for part in process.cmdline())
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def main() -> int:
    """Run DVC with this process's arguments; return the exit code."""
    from dvc.cli import DvcParserError, parse_args
    from dvc.cli import main as dvc

    arguments = sys.argv[1:]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # DVC prints its help below the error
            parsed = parse_args(arguments)
    except DvcParserError:
        return 2
    if not (parsed.targets or parsed.all_pipelines):
        arguments.append(_WHOLE)
    _drop_stale_locks(Path(".dvc") / "tmp" / "rwlock")
    if not {"-v", "--verbose", "-q", "--quiet"}.intersection(arguments):
        arguments.append("--quiet")
        for name, level in _VOICES.items():
            logging.getLogger(name).setLevel(level)
    failures = _StageFailures()
    logging.getLogger("dvc.cli").addFilter(failures)
    signal.signal(signal.SIGTERM, _PassOn())
    return dvc(arguments) and (failures.status or 1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while DVC was still being imported
        sys.exit(130)
