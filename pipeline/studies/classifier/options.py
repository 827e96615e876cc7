"""The classifier study's options, and which trials they ask for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import ConfigError
from pipeline.studies.contract import Study, at_least_one, chosen, option
from pipeline.studies.sources import DIGITS

if TYPE_CHECKING:
    from pipeline.studies.classifier.training import Setting
    from pipeline.studies.trial import Tag

VARIANTS: dict[str, tuple[str, str]] = {
    f"{coupling}-{permutation}": (coupling, permutation)
    for coupling in ("additive", "affine")
    for permutation in ("shuffle", "conv")
}
REGULARIZERS = ("none", "fd", "nf")
MEASURES = (
    "accuracy",
    "reconstruction",
    "reconstruction_largest",
    "reconstruction_nonfinite",
    "least",
    "largest",
    "condition",
    "condition_worst",
    "angle_float32",
    "angle_float64",
    "minutes",
)
TAGS = ("coupling", "permutation", "regularizer", "weight", "every", "seed")


@dataclasses.dataclass(frozen=True)
class Options(Study):
    """The options; in params.yaml the profile ``paper`` has the paper's, each with its place in the paper."""

    name: ClassVar[str] = "classifier"
    title: ClassVar[str] = "paper B's classifiers: conditioning, invertibility and accuracy with FD, NF and without"

    source: str = option(DIGITS, "digits (8 x 8, inside of scikit-learn), or your folder of CIFAR-10")
    variants: str = option(",".join(VARIANTS), "couplings and permutations, separated by commas")
    core: str = option("affine-conv", "the variant that the study is about: all its rows get every seed")
    seeds: int = option(3, "of the core's rows, and of the unregularized additive one beside it")
    other_seeds: int = option(1, "of all other rows")
    fd_additive: float = option(3e-3, "weight of finite differences, additive couplings")
    fd_affine: float = option(3e-3, "weight of finite differences, affine couplings")
    nf: float = option(5e-4, "weight of the likelihood, nats per picture")
    directions: str = option("per_sample", "of finite differences: per_sample as in paper B's text, or released")
    every: int = option(10, "steps from one penalty by finite differences to the next")
    sweep: str = option("affine-conv", "variants that are also trained with the weights below, at one seed")
    fd_weights: str = option("3e-4,3e-2", "further weights of finite differences, separated by commas")
    nf_weights: str = option("5e-5,5e-3", "further weights of the likelihood")
    everies: str = option("1", "further values of --every, for the core, at one seed")
    levels: int = option(2, "of the flow; 8 x 8 digits at 3 would have channels that are constant")
    depth: int = option(8, "couplings per level")
    width: int = option(16, "channels inside of a coupling's net")
    iterations: int = option(160, "steps of Adam")
    batch: int = option(32, "pictures per step")
    learning_rate: float = option(2e-3, "of the first step")
    drops: str = option("0.8", "shares of the iterations after which the learning rate is divided by ten")
    memory: str = option("plain", "how gradients are computed: plain, checkpoint or reversible (docs/memory.md)")
    points: int = option(3, "how often measures are taken along a training, its end included")
    pictures: int = option(8, "test pictures at which singular values are computed")
    angle_batches: int = option(2, "batches over which the angle between gradients is averaged")
    cost_rounds: int = option(4, "steps of each kind that are timed for Table 11")

    def check(self) -> None:
        """Raise ConfigError for a wrong option."""
        from models.flow.memory_saving import MODES

        at_least_one(self, "seeds", "other_seeds", "every", "levels", "depth", "width", "iterations", "batch")
        at_least_one(self, "points", "pictures", "angle_batches", "cost_rounds")
        for name, allowed in (("memory", MODES), ("core", VARIANTS), ("variants", VARIANTS)):
            chosen(self, name, allowed)
        if self.sweep:
            chosen(self, "sweep", VARIANTS)
        if self.core not in self.variants.split(","):
            raise ConfigError(f"--core: {self.core} is none of --variants {self.variants}")
        for name in ("learning_rate", "fd_additive", "fd_affine", "nf"):
            _positive(f"--{name.replace('_', '-')}", getattr(self, name))
        for name in ("fd_weights", "nf_weights", "drops", "everies"):
            for value in numbers(self, name):
                _positive(f"--{name.replace('_', '-')}", value)
        try:
            for tags in trials_of(self):
                setting_of(self, tags).penalty()
        except ValueError as error:
            raise ConfigError(f"study {self.name}: {error}") from None


def trials_of(study: Options) -> list[dict[str, Tag]]:
    """Return the tags of all trials, each once: Table 2's rows, then the sweeps of Tables 9 and 11."""
    listed = [*rows_of(study), *_sweeps(study)]
    return [dict(zip(TAGS, one, strict=True)) for one in dict.fromkeys(listed)]


def weight_of(study: Options, coupling: str, regularizer: str) -> float:
    """Return the weight of Table 2's rows."""
    fd = {"additive": study.fd_additive, "affine": study.fd_affine}[coupling]
    return {"none": 0.0, "fd": fd, "nf": study.nf}[regularizer]


def is_core(study: Options, coupling: str, permutation: str, regularizer: str) -> bool:
    """Return whether a row gets every seed."""
    core, own = VARIANTS[study.core]
    return (coupling, permutation) == (core, own) or ((coupling, permutation, regularizer) == ("additive", own, "none"))


def rows_of(study: Options) -> Iterator[tuple[Tag, ...]]:
    """Yield the values of TAGS of Table 2's trials."""
    for coupling, permutation in (VARIANTS[name] for name in study.variants.split(",")):
        for regularizer in REGULARIZERS:
            core = is_core(study, coupling, permutation, regularizer)
            weight, every = weight_of(study, coupling, regularizer), _every(study, regularizer)
            for seed in range(study.seeds if core else study.other_seeds):
                yield coupling, permutation, regularizer, weight, every, seed


def _sweeps(study: Options) -> Iterator[tuple[Tag, ...]]:
    for name in study.sweep.split(",") if study.sweep else ():
        for regularizer, weights in (("fd", "fd_weights"), ("nf", "nf_weights")):
            for weight in numbers(study, weights):
                yield *VARIANTS[name], regularizer, weight, _every(study, regularizer), 0
    coupling, permutation = VARIANTS[study.core]
    for every in numbers(study, "everies"):
        yield coupling, permutation, "fd", weight_of(study, coupling, "fd"), int(every), 0


def _every(study: Options, regularizer: str) -> int:
    return {"none": 0, "fd": study.every, "nf": 1}[regularizer]


def setting_of(study: Options, tags: dict[str, Tag]) -> Setting:
    """Return what the trial of these tags trains."""
    from pipeline.studies.classifier.training import Setting

    return Setting(
        **tags,  # type: ignore[arg-type]
        directions=study.directions,
        levels=study.levels,
        depth=study.depth,
        width=study.width,
        steps=study.iterations,
        batch=study.batch,
        learning_rate=study.learning_rate,
        drops=tuple(numbers(study, "drops")),
        memory=study.memory,
        points=study.points,
        pictures=study.pictures,
        angle_batches=study.angle_batches,
    )


def numbers(study: Options, name: str) -> list[float]:
    """Return the numbers of an option, separated by commas; ConfigError for what is none."""
    text = getattr(study, name)
    try:
        return [float(one) for one in text.split(",")] if text else []
    except ValueError:
        raise ConfigError(f"--{name.replace('_', '-')}: '{text}' is not a list of numbers such as 1e-3,1e-4") from None


def _positive(flag: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{flag}: {value} is not a finite number > 0")
