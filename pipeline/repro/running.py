"""The commands of stages as processes: what they say is told line by line, and they are told to stop."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

import psutil

from pipeline.repro.display import Display
from pipeline.supervision import ALIVE, PROGRESS_MARK, SHOWN

_SHELLS = ("sh", "dash", "bash", "zsh", "ksh", "fish")
_LAST_WORDS = 5.0  # seconds: what a process has left behind may hold its output open for ever
_KEPT_OF_THE_TOLD = ("stopped:", "error:")  # nobody needs the traceback of a process that was told to stop


class Stopped(Exception):
    """A command was not started, since the run was told to stop."""


class Processes:
    """The commands that run now; ``display`` is told what they say, by whole lines.

    Lines of standard error come when the process has ended, in one piece, but for warnings.
    """

    def __init__(self, lock: int, display: Display) -> None:
        """``lock``: the descriptor of the project's lock, which processes inherit; see ``pipeline.repro.alone``."""
        self._lock, self._display = lock, display
        self._alive, self._kept_open = os.pipe()
        self._guard = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._told = False
        self._stopped: set[str] = set()  # what stages said that were told to stop

    def run(self, stage: str, command: Sequence[str] | str, cwd: str, env: Mapping[str, str], shell: bool) -> int:
        """Run a command of ``stage`` to its end and return its exit code. Raises Stopped after ``stop``."""
        self._display.start(stage)
        driven = {
            "PYTHONHASHSEED": "0",
            **env,
            "STEADYFLOW_PYTHON": sys.executable,
            ALIVE: str(self._alive),
            SHOWN: "1",
        }
        with self._guard:
            if self._told:
                raise Stopped
            # A group of its own: Ctrl-C reaches the driver alone, which tells each stage once.
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=driven,
                shell=shell,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="backslashreplace",
                pass_fds=(self._alive, self._lock),
                process_group=0,
            )
            self._running[stage] = process
        assert process.stdout and process.stderr
        errors: list[str] = []
        readers = [
            threading.Thread(target=self._hear, args=(stage, process.stdout), daemon=True),
            threading.Thread(target=self._hear_errors, args=(stage, process.stderr, errors), daemon=True),
        ]
        for reader in readers:
            reader.start()
        code = process.wait()
        for reader in readers:
            reader.join(_LAST_WORDS)
        with self._guard:
            del self._running[stage]
        for line in errors:
            again = line in self._stopped
            if not again and (not (self._told and code) or line.startswith(_KEPT_OF_THE_TOLD)):
                self._display.tell(line.rstrip("\n"), error=True)
            if self._told and line.startswith("stopped:"):
                self._stopped.add(line)
        return code

    @property
    def has_said_so(self) -> bool:
        """Whether a stage that was told to stop has said that it did."""
        return bool(self._stopped)

    def stop(self, signum: int) -> None:
        """Start no more, and pass a signal on to what runs."""
        self._told = True
        with self._guard:
            for process in self._running.values():
                for stage in _stages_of(process.pid):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        stage.send_signal(signum)

    def _hear(self, stage: str, stream: IO[str]) -> None:
        for line in stream:
            if line.startswith(PROGRESS_MARK):
                self._display.progress(stage, line.removeprefix(PROGRESS_MARK).strip())
            else:
                self._display.tell(line.rstrip("\n"), error=False)

    def _hear_errors(self, stage: str, stream: IO[str], kept: list[str]) -> None:
        for line in stream:
            if line.startswith("warning:"):
                self._display.tell(line.rstrip("\n"), error=True)
            else:
                kept.append(line)


def _stages_of(pid: int) -> list[psutil.Process]:
    """Return the stage's process without its workers, which it ends itself: shells before it do not pass signals on."""
    try:
        process = psutil.Process(pid)
        stages = [process]
        while stages[0].name() in _SHELLS and (within := stages[0].children()):
            stages = within
    except psutil.NoSuchProcess:
        return []
    return stages
