"""Searches over the classifier study: each trial trains one of its classifiers and takes its measures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from models.flow.memory_saving import MODES
from pipeline.config import Params, RuntimeConfig, StudySearch
from pipeline.errors import ConfigError, nearest
from pipeline.options import check_options
from pipeline.searches.space import Point, Space
from pipeline.searches.trial import DIVERGED, FINISHED, Result, SearchTrial, Work
from pipeline.studies.classifier.data import labelled
from pipeline.studies.classifier.options import MEASURES, REGULARIZERS, VARIANTS, setting_of
from pipeline.studies.classifier.study import Classifier
from pipeline.studies.classifier.training import COUPLINGS, PERMUTATIONS, Setting, train_classifier
from pipeline.studies.trial import Tag, Trial
from pipeline.tracking.identity import Identity
from pipeline.tracking.run import write_down
from pipeline.training.jobs import Report
from pipeline.training.run_key import run_key

_MINUTES = "minutes"
_ALLOWED: dict[str, Iterable[str]] = {
    "coupling": COUPLINGS,
    "permutation": PERMUTATIONS,
    "regularizer": REGULARIZERS,
    "memory": MODES,
}
_SIZES = ("every", "levels", "depth", "width", "steps", "batch", "points", "pictures", "angle_batches")


class ClassifierSpace(Space):
    """Places are the fields of ``Setting``; what a search does not say is as the study's core has it in the profile."""

    stage = "search"
    reported = "accuracy"

    def __init__(self, name: str, config: StudySearch, params: Params) -> None:
        super().__init__(name, config, params.profile)
        study = Classifier.with_options(params.studies_of_profile.get(Classifier.name, {}))
        study.check()
        study.check_inputs()
        coupling, permutation = VARIANTS[study.core]
        tags: dict[str, Tag] = {"coupling": coupling, "permutation": permutation, "regularizer": "none", "weight": 0.0}
        self._plain = setting_of(study, {**tags, "every": study.every, "seed": 0})
        self._source = study.source

    @property
    def work(self) -> Work:
        """Return the training and the measures."""
        return functools.partial(train_and_measure, self._source)

    def origin(self) -> dict[str, Any]:
        """Return the source of the pictures and the setting that is varied."""
        return {"source": self._source, **dataclasses.asdict(self.setting(self.config.base))}

    def setting(self, point: Point) -> Setting:
        """Return the setting of a trial."""
        try:
            check_options(self.name, Setting, point)
            setting = dataclasses.replace(self._plain, **point)
            for name, allowed in _ALLOWED.items():
                if (value := getattr(setting, name)) not in allowed:
                    raise ValueError(f"{name} '{value}' does not exist; {nearest(value, allowed)}")
            for name in _SIZES:
                if getattr(setting, name) < 1:
                    raise ValueError(f"{name} must be 1 or more, got {getattr(setting, name)}")
            if not 0 < setting.learning_rate < float("inf"):
                raise ValueError(f"learning_rate must be a positive number, got {setting.learning_rate}")
            setting.penalty()
        except ValueError as error:
            raise ConfigError(f"{self.where}: {error}") from None
        return setting

    def trial(self, root: Path, parent: Identity, runtime: RuntimeConfig, setting: Setting) -> SearchTrial:
        """Return the trial that trains ``setting``."""
        key = run_key(self.stage, {"source": self._source, "setting": dataclasses.asdict(setting)}, [])
        values = {place: getattr(setting, place) for place in self.varied}
        return SearchTrial(root, key, Identity("trial", parent.tags, key, parent), values, setting, runtime)

    def metrics(self) -> Sequence[str]:
        """Return the study's measures."""
        return [name for name in MEASURES if name != _MINUTES]

    def entry(self, trial: SearchTrial) -> dict[str, Any]:
        """Return options of the study: its core is then this classifier."""
        own: Setting = trial.setting
        core = f"{own.coupling}-{own.permutation}"
        same = ("directions", "every", "levels", "depth", "width", "batch", "learning_rate", "memory")
        options = {"core": core, "sweep": core, "iterations": own.steps} | {name: getattr(own, name) for name in same}
        weights = {"fd": {f"fd_{own.coupling}": own.weight}, "nf": {"nf": own.weight}}.get(own.regularizer, {})
        return {"studies": {self.profile: {Classifier.name: options | weights}}}


def train_and_measure(source: str, trial: SearchTrial, report: Report, device: torch.device) -> Result:
    """Train the trial's classifier as the study does, and take the same measures."""
    run = write_down(trial.root, trial.identity)
    run.params(trial.values)
    inner = Trial(trial.values, trial.identity, trial.folder, run, trial.runtime)
    found = train_classifier(trial.setting, labelled(source), inner, report)
    if found["diverged"] is not None:
        return Result(DIVERGED, found["diverged"])
    values = {name: found[name] for name in MEASURES if name != _MINUTES}
    return Result(FINISHED, None, values, found["reasons"], found[_MINUTES])
