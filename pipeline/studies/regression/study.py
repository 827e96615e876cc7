"""Paper B's regression onto a line (section 4.2, appendix F): with and without the normalizing flow's loss."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.errors import ConfigError
from pipeline.files import write_bytes, write_csv
from pipeline.studies.contract import Study, at_least_one, chosen, option

if TYPE_CHECKING:
    from pipeline.reporting.study_page import StudyPage
    from pipeline.studies.lab import Lab
    from pipeline.studies.trial import Tag, Trial

_DRAWN = 1500  # points of the figure
MEASURES = ("mse", "error_largest", "error_mean", "lost", "sigma_max", "sigma_min", "condition")


@dataclasses.dataclass(frozen=True)
class Regression(Study):
    """The options; the paper's are 10,000 points, width 128, rate 1e-4, 40,000 iterations, coefficients 0 and 1e-8.

    Where the released code does otherwise than the paper's text: ``--width 10``, ``--coefficients 0,1e-6``, and
    ``--scale released``, which adds 1e-6 to the sigmoid (the code leaves it out of the log-determinant; here it is in).
    Its ActNorm starts from the identity, and counts twice in the log-determinant; neither is done here.
    """

    name: ClassVar[str] = "regression"
    title: ClassVar[str] = "paper B's regression onto a line: does the flow's loss keep its inverse alive?"

    seeds: int = option(3, "models per coefficient")
    iterations: int = option(1000, "steps of Adam, each on all points")
    points: int = option(500, "pairs to learn from")
    learning_rate: float = option(1e-3, "of every step")
    steps: int = option(8, "of the flow: ActNorm, reverse, coupling; 24 in the released code, the paper gives none")
    width: int = option(32, "of the two hidden layers of every net; 128 in the paper, 10 in the released code")
    scale: str = option("paper", "of the couplings: paper, or released (1e-6 larger)")
    coefficients: str = option("0,1e-8,1e-3", "of the normalizing flow's loss, separated by commas; 0: without it")
    measured: int = option(10, "how often errors and singular values are taken along a training")

    def check(self) -> None:
        """Raise ConfigError for a wrong option."""
        from pipeline.studies.regression.training import SCALES

        at_least_one(self, "seeds", "iterations", "points", "steps", "width", "measured")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ConfigError(f"--learning-rate: {self.learning_rate} is not a finite number > 0")
        chosen(self, "scale", SCALES)
        self.values()

    def values(self) -> list[float]:
        """Return the coefficients; ConfigError for what is no list of different numbers >= 0."""
        try:
            found = [float(text) for text in self.coefficients.split(",")]
        except ValueError:
            found = []
        if not found or len(set(found)) < len(found) or not all(0 <= value < math.inf for value in found):
            raise ConfigError(
                f"--coefficients: '{self.coefficients}' is no list of different finite numbers >= 0, such as 0,1e-8"
            )
        return found

    def run(self, lab: Lab) -> StudyPage:
        """Train and measure every coefficient and seed; write results.csv, training.csv and two figures."""
        from pipeline.reporting.style import to_png
        from pipeline.studies.regression import figures
        from pipeline.studies.regression.page import named, page

        tags: list[dict[str, Tag]] = [
            {"coefficient": value, "seed": seed} for value in self.values() for seed in range(self.seeds)
        ]
        found = lab.trials(functools.partial(_train_and_measure, self), tags)
        rows = [{key: one.get(key) for key in ("coefficient", "seed", *MEASURES, "skipped_steps")} for one in found]
        write_csv(lab.out / "results.csv", list(rows[0]), rows)
        course = [
            {"coefficient": one["coefficient"], "seed": one["seed"], "step": row["step"]}
            | {key: row.get(key) for key in MEASURES}
            for one in found
            for row in one["course"]
        ]
        write_csv(lab.out / "training.csv", list(course[0]), course)
        runs = {
            named(value): [one["course"] for one in found if one["coefficient"] == value] for value in self.values()
        }
        clouds = {named(one["coefficient"]): one["clouds"] for one in found if one["seed"] == 0}
        write_bytes(lab.out / "training.png", to_png(figures.along_training(runs)))
        write_bytes(lab.out / "points.png", to_png(figures.points(clouds)))
        return page(self.name, self._scale(), self.iterations, rows)

    def _scale(self) -> str:
        return (
            f"{self.seeds} seeds of {self.iterations:,} full-batch steps at rate {self.learning_rate:g}, "
            f"{self.points:,} points, {self.steps} steps of the flow, width {self.width}, float32; the paper: "
            "40,000 at 1e-4, 10,000 points, width 128 (steps of the flow: not given; 24 of "
            "width 10 in the released code)"
        )


def _train_and_measure(study: Regression, trial: Trial) -> dict[str, Any]:
    from pipeline.studies.regression import training
    from pipeline.studies.regression.problem import pairs
    from pipeline.training.loop import Plan

    seed, coefficient = int(trial.tags["seed"]), float(trial.tags["coefficient"])
    trial.seed_weights("regression", seed)
    every = max(1, study.iterations // study.measured)
    plan = Plan(
        "regression", study.iterations, study.learning_rate, nonfinite_limit=study.iterations, validation_every=every
    )
    points = pairs(study.points)
    network = training.model(study.steps, study.width, study.scale)
    outcome, skipped = training.train(trial, network, plan, coefficient, points)
    flow: Any = outcome.network
    x, y = (part.to(next(flow.parameters()).device) for part in points)
    found: dict[str, Any] = {**training.measure(flow, x, y), "skipped_steps": skipped, "course": outcome.validation}
    if seed == 0:
        z, _, back = training.round_trip(flow, x)
        clouds = {"x": x, "back": back, "z": z}
        found["clouds"] = {name: training.as_points(values, _DRAWN) for name, values in clouds.items()}
    return found
