"""Where a study works: trials side by side, each remembered, so that an interrupted study repeats none that ended."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.config import RuntimeConfig
from pipeline.console import progress, quiet_libraries
from pipeline.devices import at_a_time
from pipeline.errors import Interrupted
from pipeline.files import read_json, write_json
from pipeline.studies.trial import Tag, Trial
from pipeline.tracking.identity import Identity
from pipeline.tracking.run import Run, open_run, write_down

Found = dict[str, Any]  # JSON values
Work = Callable[[Trial], Found]
_RESULT = "result.json"


@dataclasses.dataclass(frozen=True)
class Lab:
    """``out``: the folder for results. ``identity``: of the study's run. ``origin``: tags of all of its runs."""

    root: Path
    out: Path
    identity: Identity
    runtime: RuntimeConfig
    origin: Mapping[str, str]

    def trials(self, work: Work, settings: Sequence[Mapping[str, Tag]], workers: int | None = None) -> list[Found]:
        """Return, in order, ``{**tags, **work(trial)}`` of a trial for each of ``settings``, which are its tags.

        Trials run side by side in processes, as many as ``workers``, by default ``runtime.trials``; in this process
        where that is one. ``work`` is a function at the top of a module, or a partial of one, that returns JSON values
        and depends on its trial and the study's options alone. Numbers among them are metrics of the trial's run.
        """
        places = [_Place(self, dict(tags)) for tags in settings]
        todo = [place for place in places if place.found() is None]
        count = min(len(todo), workers or at_a_time(self.runtime))
        done = self._side_by_side(work, todo, count) if count > 1 else self._one_by_one(work, todo)
        for _ in progress(done, f"{self.identity.name}: trials", len(places), len(places) - len(todo)):
            pass
        return [{**place.tags, **(place.found() or {})} for place in places]

    def forget(self) -> None:
        """Drop what trials left behind: the study has written its results, and run again it computes them anew."""
        for result in self.identity.folder(self.root).glob(f"*/{_RESULT}"):
            shutil.rmtree(result.parent / "kept", ignore_errors=True)
            for file in (result, *result.parent.glob("*.pt")):
                file.unlink(missing_ok=True)

    def _one_by_one(self, work: Work, places: Sequence[_Place]) -> Iterator[None]:
        for place in places:
            with place.opened() as run:  # sent as it goes
                place.do(work, run)
            yield

    def _side_by_side(self, work: Work, places: Sequence[_Place], count: int) -> Iterator[None]:
        from joblib import Parallel, delayed

        with _terminable():
            results = Parallel(count, return_as="generator")(delayed(_beside)(place, work) for place in places)
            for place, _ in zip(places, results, strict=True):
                with place.opened():  # what the other process has written down is sent
                    pass
                yield


@dataclasses.dataclass(frozen=True)
class _Place:
    """A trial's place in the lab, whichever process works at it."""

    lab: Lab
    tags: dict[str, Tag]

    @property
    def identity(self) -> Identity:
        own = self.lab.identity
        name = "-".join(str(value) for value in self.tags.values())
        return Identity(f"{own.name}-{name}", {**own.tags, **self.tags}, own.key, own)

    @property
    def folder(self) -> Path:
        return self.identity.folder(self.lab.root)

    def found(self) -> Found | None:
        """Return what the trial found; None if it has not ended."""
        try:
            result: Found = read_json(self.folder / _RESULT)
            return result
        except (FileNotFoundError, ValueError):
            return None

    def opened(self) -> AbstractContextManager[Run]:
        return open_run(self.lab.root, self.identity, self.lab.runtime.tracking_uri, self.lab.origin)

    def do(self, work: Work, run: Run) -> None:
        """Work, and keep what was found."""
        run.params(self.tags)
        found = work(Trial(self.tags, self.identity, self.folder, run, self.lab.runtime))
        run.metrics({k: float(v) for k, v in found.items() if isinstance(v, int | float) and k not in self.tags})
        write_json(self.folder / _RESULT, found)


def _beside(place: _Place, work: Work) -> None:
    """Do the work in a process of its own, whose run is only written down."""
    quiet_libraries()
    place.do(work, write_down(place.lab.root, place.identity))


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the other processes too: it reaches this one alone."""
    from joblib.externals.loky import get_reusable_executor

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted("trials that ended are kept; the same command goes on from there")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except BaseException:
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
