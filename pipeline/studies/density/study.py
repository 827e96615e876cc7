"""Paper B's densities (4.1.1, 4.1.2, appendices D and E): do flows that explain pictures well also invert?"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.errors import ConfigError
from pipeline.studies.contract import at_least_one, chosen
from pipeline.studies.density.options import DensityOptions
from pipeline.studies.sources import DIGITS, check_source

if TYPE_CHECKING:
    from models.flow.bijection import Bijection
    from pipeline.reporting.study_page import StudyPage
    from pipeline.studies.lab import Lab
    from pipeline.studies.small_pictures import Pictures
    from pipeline.studies.trial import Tag, Trial

NOISE = "uniform"  # the set that is watched while training, beside the held-out pictures
_WATCHED = 32  # pictures
_SHOWN = 12  # samples
_POSITIVE = ("learning_rate", "residual_learning_rate", "residual_clip_norm", "attack_step")


@dataclasses.dataclass(frozen=True)
class Density(DensityOptions):
    """The study; its options are in options.py."""

    name: ClassVar[str] = "density"
    title: ClassVar[str] = "paper B's densities of small pictures: bits per dimension, and where inverses fail"

    def check(self) -> None:
        """Raise ConfigError for a wrong option."""
        from models.flow.layers.invertible_conv import PERMUTATIONS
        from pipeline.studies.density.training import VARIANTS

        numbers = [field.name for field in dataclasses.fields(self) if field.type == "int"]
        at_least_one(self, *numbers)
        for name in _POSITIVE:
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"--{name.replace('_', '-')}: {getattr(self, name)} is not a finite number > 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ConfigError(f"--weight-decay: {self.weight_decay} is not a finite number >= 0")
        chosen(self, "variants", VARIANTS)
        chosen(self, "permutation", PERMUTATIONS)
        side = 8 if self.source == DIGITS else 32
        if side % 2**self.levels:
            raise ConfigError(f"--levels: {self.levels} squeezes need a side that {2**self.levels} divides, not {side}")

    def check_inputs(self) -> None:
        """Raise ConfigError or DataError unless the pictures and the other sets are there."""
        from pipeline.studies.density.inputs import other_sets

        check_source(self.source)
        other_sets(self.others)

    def run(self, lab: Lab) -> StudyPage:
        """Train and measure every flow; write results.json, results.csv and the figures."""
        from pipeline.studies.density.page import write_results
        from pipeline.studies.density.training import VARIANTS

        names = chosen(self, "variants", VARIANTS)
        pairs = itertools.product(names, range(self.seeds))
        settings: list[dict[str, Tag]] = [{"variant": name, "seed": seed} for name, seed in pairs]
        found = lab.trials(functools.partial(_train_and_measure, self), settings)
        return write_results(self, lab.out, found)


def _train_and_measure(study: Density, trial: Trial) -> dict[str, Any]:
    import torch

    from models.lab.lipschitz import update_lipschitz
    from pipeline.seeds import generator
    from pipeline.studies.density import measure, training
    from pipeline.studies.density.figures import as_levels
    from pipeline.studies.density.inputs import TEST, inputs, other_sets
    from pipeline.studies.small_pictures import dequantize, small_pictures

    device = trial.device()
    pictures = small_pictures(study.source)
    variant, seed = str(trial.tags["variant"]), int(trial.tags["seed"])
    kind = training.VARIANTS[variant]
    sets = {name: x.to(device) for name, x in inputs(pictures, study.pictures, other_sets(study.others)).items()}

    def watch(network: Any) -> dict[str, float]:
        update_lipschitz(network)
        part = {name: sets[name][:_WATCHED] for name in (TEST, NOISE)}
        errors = {name: _errors(x, measure.reconstruct(network, x, kind.low)) for name, x in part.items()}
        point = measure.at_point(network, part[TEST][:1], kind.low, False)
        bits = training.mean_bits_per_dim(network, part[TEST], kind.low, pictures.levels)
        return {
            "bits_per_dim": bits,
            **{f"error_{name}": math.inf if one["largest"] is None else one["largest"] for name, one in errors.items()},
            "condition_number": point.condition_number or math.inf,
        }

    trial.seed_weights("density", seed)
    objective = training.NegativeLogLikelihood(kind.build(study, pictures.shape), kind.low)
    plan = kind.plan(study, trial.name)
    plan = dataclasses.replace(plan, validation_every=max(1, plan.steps // study.watched))
    feed = training.batches(pictures, study.batch, seed, study.augment, device)
    outcome = trial.train(objective, plan, feed, watch)

    flow: Any = outcome.network.eval()
    update_lipschitz(flow)
    count = len(pictures.test)
    parts = {"train": pictures.train[:count], "test": pictures.test}
    bits = {}
    for name, part in parts.items():
        x = dequantize(part, pictures.levels, generator("density", "bits", name)).to(device)
        bits[name] = training.mean_bits_per_dim(flow, x, kind.low, pictures.levels)
    errors, shown = {}, {}
    for name, x in sets.items():
        again = measure.reconstruct(flow, x, kind.low)
        errors[name] = _errors(x, again)
        worst = measure.worst(x, again)
        shown[name] = [as_levels(x[worst]), as_levels(again[worst])]
    with torch.no_grad():
        latent = tuple(flow(sets[TEST][:1] + kind.low)[0].shape[1:])
    estimated = variant == "residual"
    shape = (study.pictures, *latent)
    samples, of_samples = measure.sample(flow, shape, kind.low, estimated, generator("density", "samples"))
    broken = (~samples.isfinite()).flatten(1).any(1).long()
    order = torch.argsort(broken, descending=True, stable=True)  # broken ones are to be seen, however few they are
    numbers = {
        "train_bits_per_dim": bits["train"],
        "test_bits_per_dim": bits["test"],
        "skipped_steps": outcome.skipped_steps,
        "parameters": sum(parameter.numel() for parameter in flow.parameters()),
        **of_samples._asdict(),
        **measure.at_point(flow, sets[TEST][:1], kind.low, estimated)._asdict(),
        **_attacked(study, flow, pictures, kind.low),
    }
    return {
        **{name: _finite(value) for name, value in numbers.items()},
        "chained": measure.chained(flow, sets[TEST], kind.low),
        "errors": errors,
        "watched": [{name: _finite(value) for name, value in row.items()} for row in outcome.validation],
        "pictures_of_sets": shown if seed == 0 else None,
        "samples": [as_levels(one) for one in samples[order[:_SHOWN]]] if seed == 0 else None,
        "data": [as_levels(one) for one in sets[TEST][:_SHOWN]] if seed == 0 else None,
    }


def _attacked(study: Density, flow: Bijection, pictures: Pictures, low: float) -> dict[str, float | None]:
    """Return the largest finite errors before and after the attack, and the share that is not finite."""
    import torch

    from pipeline.seeds import generator
    from pipeline.stability.measure.ascent import Box
    from pipeline.stability.measure.attack import invertibility_attack
    from pipeline.studies.density.measure import largest_finite

    whole = pictures.train[: study.attack_pictures].to(next(flow.parameters()).device)  # as E.1 says, of the training
    box = Box(whole / pictures.levels + low, (whole + 1) / pictures.levels + low)
    size = study.attack_step * 0.5 / pictures.levels
    sources = [generator("density", "attack", number) for number in range(len(whole))]
    with torch.random.fork_rng(devices=[]):  # log-determinants draw random numbers on their way
        found = invertibility_attack(flow, box, sources, steps=study.attack_steps, size=size)
    return {
        "attack_before": largest_finite(found.before),
        "attack_after": largest_finite(found.after),
        "attack_nonfinite": float(found.nonfinite.double().mean()),
    }


def _errors(x: Any, again: Any) -> dict[str, float | int | None]:
    from pipeline.studies.density.measure import errors_of

    return errors_of(x, again)._asdict()


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
