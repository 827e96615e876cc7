"""What a search is over: its places, its trials, the work that they do, and how a winner is written down."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pipeline.config import PARAMS_FILE, RuntimeConfig, SearchConfig
from pipeline.errors import ConfigError, brief, nearest
from pipeline.searches.trial import SearchTrial, Work
from pipeline.tracking.identity import Identity

Point = dict[str, Any]  # place -> value


class Space(ABC):
    """A search as params.yaml has it, over something that can be trained.

    To make another kind of search: a class beside ``FlowSpace`` (below pipeline/studies/searches if it is over a study:
    only studies may see the laboratory), its group in ``pipeline.config.Searches`` and a stage that depends on what is
    trained.
    """

    stage: ClassVar[str]  # of DVC
    reported: ClassVar[str]  # the number that trials tell along their training
    task: str | None = None  # whose pictures are looked at, if it is a task's

    def __init__(self, name: str, config: SearchConfig, profile: str) -> None:
        self.name, self.config, self.profile = name, config, profile

    @property
    def where(self) -> str:
        """Return where params.yaml has it."""
        return f"{PARAMS_FILE}: search {self.name}"

    @property
    def varied(self) -> list[str]:
        """Return the places that its grids name, in their order."""
        return list(dict.fromkeys(place for grid in self.config.grids for axis in grid for place in _places(axis)))

    def points(self) -> list[Point]:
        """Return the combinations of all grids with what ``base`` says besides.

        Raises ConfigError for values of several places that are not a list with one for each.
        """
        return [{**self.config.base, **point} for grid in self.config.grids for point in self._product(grid)]

    def settings(self) -> list[Any]:
        """Return what each trial is told, each once; ConfigError for a place or a value that may not be."""
        found: list[Any] = []
        for point in self.points():
            setting = self.setting(point)
            if setting not in found:
                found.append(setting)
        return found

    def check(self) -> list[Any]:
        """Return what each trial is told; ConfigError for a search that cannot be."""
        names, settings = self.metrics(), self.settings()
        for name in self.config.metrics:
            if not any(name == one or (one.endswith("*") and name.startswith(one[:-1])) for one in names):
                raise ConfigError(f"{self.where}: metric {brief(name)} is not found by trials; {nearest(name, names)}")
        if self.config.scheduler == "asha" and (quality := next(iter(self.config.metrics))) != self.reported:
            raise ConfigError(
                f"{self.where}: scheduler asha goes by {self.reported}, which trainings tell on their way; put it "
                f"first in metrics, not {brief(quality)}"
            )
        return settings

    def trials(self, root: Path, parent: Identity, runtime: RuntimeConfig) -> list[SearchTrial]:
        """Return all trials; raises what ``check`` does, and DataError where the inputs are missing.

        ConfigError, too, for trials that differ in nothing that their training depends on.
        """
        found = [self.trial(root, parent, runtime, setting) for setting in self.check()]
        for number, trial in enumerate(found):
            for other in found[:number]:
                if other.identity == trial.identity:
                    raise ConfigError(
                        f"{self.where}: '{other.label}' and '{trial.label}' are the same training; vary what "
                        "training depends on"
                    )
        return found

    def _product(self, grid: dict[str, list[Any]]) -> Iterator[Point]:
        axes = [[self._assigned(axis, value) for value in values] for axis, values in grid.items()]
        for combination in itertools.product(*axes):
            yield {place: value for part in combination for place, value in part.items()}

    def _assigned(self, axis: str, value: Any) -> Point:
        places = _places(axis)
        if len(places) == 1:
            return {axis: value}
        if not isinstance(value, list) or len(value) != len(places):
            raise ConfigError(
                f"{self.where}: grids: values of '{axis}' must be lists of {len(places)}, got {brief(value)}"
            )
        return dict(zip(places, value, strict=True))

    @property
    @abstractmethod
    def work(self) -> Work:
        """Return what a trial does."""

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """Return what all trials have in common, JSON values: with another one it is another search."""

    @abstractmethod
    def setting(self, point: Point) -> Any:
        """Return what a trial is told; ConfigError for a place or a value that may not be."""

    @abstractmethod
    def trial(self, root: Path, parent: Identity, runtime: RuntimeConfig, setting: Any) -> SearchTrial:
        """Return the trial that is told ``setting``."""

    @abstractmethod
    def metrics(self) -> Sequence[str]:
        """Return the names of the numbers that trials find; one that ends in * stands for all that begin so."""

    @abstractmethod
    def entry(self, trial: SearchTrial) -> dict[str, Any]:
        """Return what to merge into params.yaml to have this trial's settings there."""


def _places(axis: str) -> list[str]:
    return [place.strip() for place in axis.split(",")]
