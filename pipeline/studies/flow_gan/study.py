"""Paper B's Flow-GAN (appendix H): what becomes of a flow's inverse without the likelihood."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.errors import ConfigError
from pipeline.studies.contract import at_least_one, chosen
from pipeline.studies.flow_gan.options import OBJECTIVES, FlowGanOptions
from pipeline.studies.sources import DIGITS, check_source

if TYPE_CHECKING:
    from pipeline.reporting.study_page import StudyPage
    from pipeline.studies.lab import Lab
    from pipeline.studies.trial import Tag, Trial

_WATCHED = 64  # pictures, and samples
_SHOWN = 12  # samples


@dataclasses.dataclass(frozen=True)
class FlowGan(FlowGanOptions):
    """The study; its options are in options.py."""

    name: ClassVar[str] = "flow_gan"
    title: ClassVar[str] = "paper B's Flow-GAN: a flow's inverse with and without the likelihood"

    def check(self) -> None:
        """Raise ConfigError or DataError for a wrong option."""
        from models.flow.layers.invertible_conv import PERMUTATIONS
        from pipeline.studies.density.training import GLOWS

        at_least_one(self, "seeds", "levels", "blocks", "hidden", "steps", "batch", "watched")
        for name in ("learning_rate", "judge_learning_rate", "mle_weight"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"--{name.replace('_', '-')}: {getattr(self, name)} is not a finite number > 0")
        if not (math.isfinite(self.penalty) and self.penalty >= 0):
            raise ConfigError(f"--penalty: {self.penalty} is not a finite number >= 0")
        chosen(self, "objectives", OBJECTIVES)
        chosen(self, "coupling", GLOWS)
        chosen(self, "permutation", PERMUTATIONS)
        if not all(part.isdecimal() and int(part) for part in self.judge.split(",")):
            raise ConfigError(f"--judge: '{self.judge}' must be positive whole numbers, separated by commas")
        side = 8 if self.source == DIGITS else 32
        if side % 2**self.levels:
            raise ConfigError(f"--levels: {self.levels} squeezes need a side that {2**self.levels} divides, not {side}")

    def check_inputs(self) -> None:
        """Raise DataError unless the pictures are there."""
        check_source(self.source)

    def run(self, lab: Lab) -> StudyPage:
        """Train and measure every flow; write results.json, results.csv and the figures."""
        from pipeline.studies.flow_gan.page import write_results

        names = chosen(self, "objectives", OBJECTIVES)
        pairs = itertools.product(names, range(self.seeds))
        settings: list[dict[str, Tag]] = [{"objective": name, "seed": seed} for name, seed in pairs]
        found = lab.trials(functools.partial(_train_and_measure, self), settings)
        return write_results(self, lab.out, found)


def _train_and_measure(study: FlowGan, trial: Trial) -> dict[str, Any]:
    from models.flow.bijection import Bijection
    from models.flow.layers.actnorm import initializing
    from models.lab.glow import Glow
    from pipeline.seeds import generator
    from pipeline.studies.density import measure
    from pipeline.studies.density.figures import as_levels
    from pipeline.studies.density.training import GLOWS, mean_bits_per_dim
    from pipeline.studies.flow_gan.discriminator import discriminator
    from pipeline.studies.flow_gan.training import LOW, Players, Row, Weights, train
    from pipeline.studies.small_pictures import dequantize, small_pictures

    device = trial.device()
    pictures = small_pictures(study.source)
    seed = int(trial.tags["seed"])
    adversarial, likelihood = OBJECTIVES[str(trial.tags["objective"])]
    weights = Weights(float(adversarial), study.mle_weight if adversarial and likelihood else float(likelihood))
    x = dequantize(pictures.test[:_WATCHED], pictures.levels, generator("flow_gan", "held out")).to(device)
    latent = (_WATCHED, *study.latent_shape(pictures.shape))

    def watch(flow: Bijection) -> Row:
        point = measure.at_point(flow, x[:1], LOW, False)
        errors = measure.errors_of(x, measure.reconstruct(flow, x, LOW))
        _, samples = measure.sample(flow, latent, LOW, False, generator("flow_gan", "samples"))
        values = {
            "bits_per_dim": mean_bits_per_dim(flow, x, LOW, pictures.levels),
            "error": None if errors.nonfinite else errors.largest,
            "errors_nonfinite": errors.nonfinite,
            "condition_number": point.condition_number,
            "smallest": point.smallest,
            "largest": point.largest,
            "log_det": point.log_det,
            "log_det_error": point.log_det_error,
            **samples._asdict(),
        }
        return {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}

    trial.seed_weights("flow_gan", seed)
    channels, height, width = pictures.shape
    glow = Glow(GLOWS[study.coupling], study.levels, study.blocks, study.hidden, study.permutation, channels)
    judge = discriminator(channels, (height, width), [int(part) for part in study.judge.split(",")])
    flow = glow.to(device)
    if study.actnorm_from_data:
        first = dequantize(pictures.train[: study.batch], pictures.levels, generator("flow_gan", "first")).to(device)
        with initializing(flow):
            flow(first + LOW)
    players = train(trial, study, Players(flow, judge.to(device), study), pictures, weights, watch)
    drawn, _ = measure.sample(players.flow, latent, LOW, False, generator("flow_gan", "samples"))
    return {
        **players.rows[-1],
        "watched": players.rows,
        "samples": [as_levels(one) for one in drawn[:_SHOWN]] if seed == 0 else None,
        "data": [as_levels(one) for one in x[:_SHOWN]] if seed == 0 else None,
    }
