"""One trial of a search: its settings, its run, and what it found, kept in a file that outlives the search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.config import RuntimeConfig
from pipeline.files import read_json, write_json
from pipeline.tracking.identity import Identity
from pipeline.training.jobs import Report

_RESULT, _TOLD = "result.json", "told.json"
FINISHED, DIVERGED, STOPPED = "finished", "diverged", "stopped"


@dataclasses.dataclass(frozen=True)
class SearchTrial:
    """What a trial's work is given; it travels to another process.

    ``key``: a hash of all that its result depends on. ``identity``: of its run in MLflow, nested in the search's.
    ``values``: what it has at the places that the search varies. ``setting``: all that it is told.
    """

    root: Path
    key: str
    identity: Identity
    values: Mapping[str, Any]
    setting: Any
    runtime: RuntimeConfig

    @property
    def folder(self) -> Path:
        """Return its own folder, for checkpoints and its result."""
        return self.identity.folder(self.root)

    @property
    def label(self) -> str:
        """Return what people call it, such as ``coupling affine, depth 8``."""
        return ", ".join(f"{place.rpartition('.')[2]} {shown(value)}" for place, value in self.values.items())

    def result(self) -> Result | None:
        """Return what it found; None if it has not ended, or was another one then."""
        try:
            content = read_json(self.folder / _RESULT)
            return Result(**content["result"]) if content["key"] == self.key else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def told(self) -> bool:
        """Return whether its run in MLflow has got what it found."""
        try:
            return bool(read_json(self.folder / _TOLD)["key"] == self.key)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False

    def mark_told(self) -> None:
        """Remember that its run has got what it found."""
        write_json(self.folder / _TOLD, {"key": self.key})

    def keep(self, result: Result) -> None:
        """Write down what it found, and drop its checkpoints."""
        write_json(self.folder / _RESULT, {"key": self.key, "result": dataclasses.asdict(result)})
        for file in self.folder.glob("*.pt"):
            file.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class Result:
    """What a trial found: numbers by name, None with its reason; of one that diverged, why, and no numbers.

    ``status``: finished, diverged, or stopped by the scheduler, with the numbers that it had by then. ``minutes``: of
    training.
    """

    status: str
    reason: str | None = None
    values: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    minutes: float | None = None


Work = Callable[[SearchTrial, Report, torch.device], Result]


def find(work: Work, trial: SearchTrial, report: Report, device: torch.device) -> None:
    """Do the work of ``trial``, and keep what it found."""
    trial.keep(work(trial, report, device))


def shown(value: Any) -> str:
    """Return a value of params.yaml as short text, such as ``finite_differences weight 0.001`` of a group."""
    if isinstance(value, Mapping):
        named = ((one, "" if key == "name" or isinstance(one, Mapping) else f"{key} ") for key, one in value.items())
        return " ".join(f"{name}{shown(one)}" for one, name in named)
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
