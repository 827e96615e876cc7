"""DVC's part of a run: the graph, what has changed, run cache, locks, dvc.lock. The one place that drives DVC.

Every stage has a thread. One thread at a time is at work in DVC, the one with the baton, and holds DVC's lock of the
repository. While the stage's command runs it puts both down, as ``dvc repro`` releases its lock then; the entries in
DVC's rwlock, which say who reads and writes what, stay (DVC knows one reader per process: an input of several stages
is listed until the first of them ends). So what comes out is what ``dvc repro`` alone would produce.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from pipeline.errors import SteadyflowError, brief, nearest
from pipeline.repro.cache_check import distrust
from pipeline.repro.dvc_lock import record
from pipeline.repro.running import Processes
from pipeline.repro.slots import Environment

_OWN = {"interactive": "--interactive", "verbose": "--verbose"}  # options that DVC itself is to be asked with


class CommandFailed(Exception):
    """The command of a stage has ended with another code than 0."""

    def __init__(self, code: int) -> None:
        # Some shells put themselves in the place of their last command, the others return 128 + its signal.
        self.status = 128 - code if code < 0 else code
        try:
            super().__init__(f"killed by {signal.Signals(self.status - 128).name}")
        except ValueError:
            super().__init__(f"exit code {code}")


def parsed(options: Sequence[str]) -> dict[str, Any] | None:
    """Return the options of ``dvc repro`` as its own command takes them; None if DVC has said what is wrong with them.

    Raises SteadyflowError for those that only make sense with DVC's own output.
    """
    from dvc.cli import DvcParserError, parse_args

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # DVC prints its help below the error
            chosen = vars(parse_args(["repro", *options]))
    except DvcParserError:
        return None
    for name, option in _OWN.items():
        if chosen[name]:
            raise SteadyflowError(f"{option} is for DVC's own command: .venv/bin/dvc repro {' '.join(options)}")
    return chosen


class DvcRun:
    """``dvc repro`` with these options, stage by stage; to be used in a ``with`` block."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._how = {name: options[name] for name in ("pull", "allow_missing", "no_commit")}
        self._how["run_cache"] = not options["no_run_cache"]
        self._baton = threading.Lock()
        self._slots: dict[str, Environment] = {}

    def __enter__(self) -> DvcRun:
        from dvc.lock import make_lock
        from dvc.logger import set_loggers_level
        from dvc.repo import Repo, lock_repo

        with contextlib.ExitStack() as opened:
            opened.enter_context(set_loggers_level(logging.CRITICAL))
            logging.getLogger("dvc.repo.reproduce").setLevel(logging.WARNING)
            repo = self.repo = opened.enter_context(Repo())
            drop_stale_locks(Path(repo.tmp_dir) / "rwlock")
            # Other commands of DVC hold the lock for a moment: wait for it, without a word.
            hard = repo.config["core"].get("hardlink_lock", False)
            repo.lock = make_lock(repo.lock.lockfile, tmp_dir=repo.tmp_dir, hardlink_lock=hard, wait=True)
            opened.enter_context(lock_repo(repo))
            opened.enter_context(repo.scm_context())
            opened.enter_context(distrust(repo))
            self._collect()
            repo.lock.unlock()
            opened.callback(repo.lock.lock)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def _collect(self) -> None:
        import networkx
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
        from dvc.stage.exceptions import StageNotFound

        options, repo = self._options, self.repo
        whole = options["pipeline"] or options["all_pipelines"]
        named = {stage.addressing: stage for stage in repo.index.stages}
        targets = [] if options["all_pipelines"] else options["targets"] or ["dvc.yaml"]
        known = {} if options["recursive"] else named  # there a target is a folder first
        stages = [known[target] for target in targets if target in known]
        if others := [target for target in targets if target not in known]:  # DVC reads dvc.lock anew for each: slow
            try:
                stages += collect_stages(repo, others, recursive=options["recursive"], glob=options["glob"])
            except StageNotFound as error:
                kinds = {name.partition("@")[0] for name in named}
                raise SteadyflowError(
                    f"no stage is called {brief(error.name)}; {nearest(error.name, list(named), kinds)}; "
                    "behind an @ stand task, variant and seed"
                ) from None
        graph = get_active_graph(repo.index.graph)
        chosen = stages
        if whole or not options["single_item"]:
            downstream = options["downstream"] and not whole
            chosen = plan_repro(graph, stages, pipeline=options["pipeline"], downstream=downstream)
        part = graph.subgraph(chosen).reverse()
        order = networkx.lexicographical_topological_sort(part, key=lambda stage: stage.addressing)
        self._stages = {stage.addressing: stage for stage in order}
        self.needs = {name: [one.addressing for one in part.predecessors(s)] for name, s in self._stages.items()}
        self._order = list(named)  # as in dvc.yaml
        self._upstream = {name: list(graph.successors(stage)) for name, stage in self._stages.items()}
        self._forced = set(self._stages) if options["force"] else set()

    @contextlib.contextmanager
    def commands_by(self, processes: Processes) -> Iterator[None]:
        """Have DVC's commands run by ``processes`` in this block: the one thing of DVC's that is replaced."""
        import dvc.stage.run as of_dvc

        def run(executable: str | None, command: str, *, cwd: str, env: dict[str, str], shell: bool, **_: Any) -> None:
            name = env["DVC_STAGE"]
            self._baton.release()
            try:
                made = of_dvc._make_cmd(executable, command)
                code = processes.run(name, made, cwd, {**env, **self._slots[name]}, shell)
            finally:
                self._baton.acquire()
            if code:
                raise CommandFailed(code)

        before, of_dvc._run = of_dvc._run, run
        try:
            yield
        finally:
            of_dvc._run = before

    def reproduce(self, name: str, slot: Environment) -> bool:
        """Bring the stage ``name`` up to date; return whether that took anything.

        Raises CommandFailed, ``running.Stopped`` and DVC's own errors.
        """
        stage, lock = self._stages[name], self.repo.lock
        with self._baton:
            self._slots[name] = slot
            lock.lock()
            try:
                force = name in self._forced
                changed = stage.reproduce(upstream=self._upstream[name], force=force, interactive=False, **self._how)
                if changed:
                    record(stage, self._order)
            finally:
                lock.unlock()
            if self._options["force_downstream"] and (changed or force):
                self._forced |= {other for other, needed in self.needs.items() if name in needed}
        return bool(changed)


def drop_stale_locks(file: Path) -> None:
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


def one_line(error: BaseException) -> str:
    """Return an error of DVC as one line."""
    from dvc.lock import LockError

    if isinstance(error, LockError):
        if found := re.search(r"PID (\d+)\): (.*)", str(error)):
            return f"DVC is at work in this folder (process {found[1]}: {found[2]}); wait until it has ended"
        return "DVC is at work in this folder; wait until it has ended"
    said = []
    cause: BaseException | None = error
    while cause is not None:
        said.append(" ".join(str(cause).split()))
        cause = cause.__cause__
    return ": ".join(filter(None, said))
