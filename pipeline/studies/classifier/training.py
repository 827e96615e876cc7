"""One classifier from its settings to its measures: what a trial of the study does, and of any search over settings."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.memory_saving import save_memory
from models.flow.transforms import Additive, RangedAffine, Transform
from models.lab.classifier import InvertibleClassifier
from pipeline.errors import DivergenceError
from pipeline.objective import Objective
from pipeline.seeds import generator
from pipeline.studies.classifier.data import Labelled
from pipeline.studies.classifier.measures import Batch, Measured, conditioning, gradient_angles, test_set
from pipeline.studies.trial import Trial
from pipeline.training.loop import Plan, Values
from pipeline.training.regularizers import FiniteDifferences, NormalizingFlow, Regularizer

NONE = "none"
COUPLINGS: dict[str, Transform] = {
    "additive": Additive(),
    "affine": RangedAffine(least=0.0, most=1.0, shift_first=True),  # (x + t) * sigmoid(h + 2), as released
}
FIXED = -1  # the seed of the batches that angles are taken of
ALONG = 2  # test pictures whose singular values are followed along the training
PERMUTATIONS = {"shuffle": "shuffle", "conv": "learned"}  # the paper's name -> that of models.flow


@dataclasses.dataclass(frozen=True)
class Setting:
    """What makes one classifier; all of it but ``drops`` can be varied by a search.

    ``regularizer``: none, fd or nf, with its ``weight``; fd in every ``every``-th step, along ``directions`` (see
    pipeline/training/regularizers.py). ``drops``: places in the training, [0, 1], where the learning rate is divided
    by ten. ``points``: measures along the training, at ``pictures`` test pictures and ``angle_batches`` batches.
    """

    coupling: str = "affine"
    permutation: str = "conv"
    regularizer: str = NONE
    weight: float = 0.0
    every: int = 10
    directions: str = "per_sample"
    seed: int = 0
    levels: int = 2
    depth: int = 4
    width: int = 32
    steps: int = 240
    batch: int = 64
    learning_rate: float = 2e-3
    drops: tuple[float, ...] = (0.8,)
    memory: str = "plain"
    points: int = 4
    pictures: int = 8
    angle_batches: int = 2

    def network(self, data: Labelled) -> InvertibleClassifier:
        """Return the classifier before training; torch's seed decides its weights."""
        channels, size = data.shape
        network = InvertibleClassifier(
            COUPLINGS[self.coupling],
            PERMUTATIONS[self.permutation],
            data.pictures.classes,
            size,
            self.levels,
            self.depth,
            self.width,
            channels,
        )
        save_memory(network, self.memory)
        return network

    def penalty(self) -> Regularizer | None:
        """Return the regularizer; ValueError for options that it does not take."""
        if self.regularizer == NONE:
            return None
        made: dict[str, Callable[..., Regularizer]] = {
            "fd": functools.partial(FiniteDifferences, every=self.every, directions=self.directions),
            "nf": NormalizingFlow,
        }
        return made[self.regularizer](weight=self.weight)

    def plan(self, what: str) -> Plan:
        """Return how it is trained; a step that is not finite ends the training."""
        every = -(-self.steps // max(1, self.points))  # rounded up, so that no two measures are taken at the end
        rate = {"learning_rate": self.learning_rate, "milestones": self.drops, "decay": 0.1}
        return Plan(what, self.steps, validation_every=every if self.points else 0, **rate)  # type: ignore[arg-type]


class Classification(Objective):
    """Cross-entropy, plus the penalty of ``regularizer`` in the steps in which that is due. Its terms are both.

    Without gradients, as while ActNorm layers are set, it is the cross-entropy alone.
    """

    def __init__(self, network: InvertibleClassifier, regularizer: Regularizer | None, seed: int) -> None:
        super().__init__(network)
        self.regularizer, self.seed = regularizer, seed

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return a scalar, nats, for pictures ``(B, C, S, S)`` and classes ``(B,)``."""
        z, log_det, logits = self.network.classify(x)  # type: ignore[operator]
        loss = F.cross_entropy(logits, labels)
        self.terms = {"cross_entropy": loss.detach()}
        if self.regularizer is not None and torch.is_grad_enabled() and self.regularizer.due(self.step):
            source = generator("classifier", "directions", self.seed, self.step)
            penalty = self.regularizer(self.network, x, None, source, (z, log_det))  # type: ignore[arg-type]
            self.terms = {**self.terms, "penalty": penalty.detach()}
            loss = loss + penalty
        return loss


def train_classifier(
    setting: Setting, data: Labelled, trial: Trial, report: Callable[[Values], None] = lambda row: None
) -> dict[str, Any]:
    """Train a classifier by ``trial.train`` and return its measures (``measures.py``), JSON values.

    ``diverged``: why there are no measures, None where there are. ``reasons``: of values that are None. ``curve``: rows
    along the training, in which a value that could not be computed is left out. ``minutes``: without measuring.
    ``report`` is told each row of the curve when it is measured.
    """
    device = trial.device()
    trial.seed_weights("classifier", setting.seed)
    objective = Classification(setting.network(data), setting.penalty(), setting.seed)
    ruler = _Ruler(setting, data, device)
    curve: list[Values] = []

    def batches(start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        for x, labels in data.batches(setting.seed, setting.batch, start, stop):
            yield x.to(device), labels.to(device)

    def log(step: int, row: Values) -> None:
        if "measuring_seconds" in row:
            curve.append(row)
            report(row)

    try:
        outcome = trial.train(objective, setting.plan(trial.name), batches, ruler.along, log)
    except DivergenceError as error:
        return {"diverged": str(error), "reasons": {}, "curve": curve}
    measured = ruler.after(outcome.network, trial.name)
    measuring = sum(row["measuring_seconds"] for row in outcome.validation[:-1])  # the last comes after the clock
    return {
        "diverged": None,
        **measured.values,
        "reasons": measured.reasons,
        "minutes": (outcome.seconds - measuring) / 60.0,
        "curve": outcome.validation,
    }


class _Ruler:
    """Measures a setting's network, along the training and after it."""

    def __init__(self, setting: Setting, data: Labelled, device: torch.device) -> None:
        self._setting, self._data, self._device = setting, data, device
        first, _ = next(data.test_batches(setting.pictures))
        self._pictures = first.to(device)
        stop = setting.angle_batches  # of a seed that no training has: the same for all
        self._fixed = [self._placed(batch) for batch in data.batches(FIXED, setting.batch, 0, stop)]

    def _placed(self, batch: Batch) -> Batch:
        return batch[0].to(self._device), batch[1].to(self._device)

    def along(self, network: nn.Module) -> Values:
        """Return the finite ones among the measures, and the seconds that they took."""
        started = time.monotonic()
        found = self._measure(network, self._pictures[:ALONG])
        finite = {name: value for name, value in found.values.items() if value is not None}
        return finite | {"measuring_seconds": time.monotonic() - started}

    def after(self, network: nn.Module, what: str) -> Measured:
        """Return all measures."""
        return self._measure(network, self._pictures, what)

    def _measure(self, network: nn.Module, pictures: Tensor, what: str = "") -> Measured:
        assert isinstance(network, InvertibleClassifier)
        parts = (
            test_set(network, map(self._placed, self._data.test_batches())),
            conditioning(network, pictures, what),
            gradient_angles(network, self._fixed),
        )
        values, reasons = ({k: v for part in parts for k, v in part[place].items()} for place in (0, 1))
        return Measured(values, reasons)  # type: ignore[arg-type]
