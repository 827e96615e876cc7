"""Paper B's study of invertible classifiers (section 4.2): unregularized ones lose their inverse, regularized don't."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.files import write_bytes, write_csv, write_json
from pipeline.studies.classifier.options import MEASURES, TAGS, Options, setting_of, trials_of
from pipeline.studies.sources import check_source

if TYPE_CHECKING:
    from pipeline.reporting.study_page import StudyPage
    from pipeline.studies.lab import Lab
    from pipeline.studies.trial import Tag, Trial


@dataclasses.dataclass(frozen=True)
class Classifier(Options):
    """Trains a classifier per coupling, permutation, regularizer, weight and seed, and measures what is left of it."""

    def check_inputs(self) -> None:
        """Raise DataError unless the pictures are there."""
        check_source(self.source)

    def run(self, lab: Lab) -> StudyPage:
        """Train, measure, time; write results.json, results.csv and three figures."""
        trials = lab.trials(functools.partial(_trained, self), trials_of(self))
        (cost,) = lab.trials(functools.partial(_timed, self), [{"timed": "steps"}], workers=1)
        return self._page(lab, trials, cost)

    def _page(self, lab: Lab, trials: Sequence[dict[str, Any]], cost: dict[str, Any]) -> StudyPage:
        from pipeline.reporting.style import to_png
        from pipeline.studies.classifier import figures as classifier_figures
        from pipeline.studies.classifier import page as classifier_page
        from pipeline.studies.classifier import tables as classifier_tables

        found = classifier_tables.summary(trials)
        columns = (*TAGS, *MEASURES, "diverged")
        write_csv(lab.out / "results.csv", columns, [{name: one.get(name) for name in columns} for one in trials])
        content = {"format": 1, "study": self.name, "options": dataclasses.asdict(self), "runs": trials}
        write_json(lab.out / "results.json", {**content, "summary": found, "step_cost": cost})
        shown = classifier_page.followed(self, trials)
        for name, draw in classifier_figures.FIGURES.items():
            write_bytes(lab.out / f"{name}.png", to_png(draw(shown)))
        return classifier_page.page(self, trials, found, cost)


def _trained(study: Options, trial: Trial) -> dict[str, Any]:
    from pipeline.studies.classifier.data import labelled
    from pipeline.studies.classifier.training import train_classifier

    return train_classifier(setting_of(study, dict(trial.tags)), labelled(study.source), trial)


def _timed(study: Options, trial: Trial) -> dict[str, Any]:
    """Time steps of Table 11's model: additive, 1x1 convolutions, memory-saving gradients."""
    from pipeline.studies.classifier.cost import step_seconds
    from pipeline.studies.classifier.data import labelled

    tags: dict[str, Tag] = dict(zip(TAGS, ("additive", "conv", "fd", study.fd_additive, study.every, 0), strict=True))
    setting = dataclasses.replace(setting_of(study, tags), memory="reversible")
    return step_seconds(setting, labelled(study.source), trial, study.cost_rounds)
