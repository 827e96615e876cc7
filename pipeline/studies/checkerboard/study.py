"""Paper B's checkerboard (section 4.1.1, appendix C): where does a density's flow stop being invertible?"""

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

_PICTURES = ("maps", "samples")


@dataclasses.dataclass(frozen=True)
class Checkerboard(Study):
    """The options; the paper's are 100 blocks of width 128, batch 500, weight decay 1e-5, 50,000 iterations.

    Where the released code does otherwise than the paper's text: ``weight_decay`` 0 is what its optimizer does, and
    ``coefficient`` 0.7 the default of its residual flow. It keeps the checkpoint that is best on the test data; here
    it is the last one.
    """

    name: ClassVar[str] = "checkerboard"
    title: ClassVar[str] = "paper B's checkerboard: densities, and where their flows stop being invertible"

    seeds: int = option(3, "flows per variant")
    iterations: int = option(300, "steps of Adam")
    batch: int = option(250, "points per step")
    learning_rate: float = option(5e-3, "of every step")
    weight_decay: float = option(1e-5, "of Adam; 0: as the released code acts")
    blocks: int = option(8, "of a flow: two couplings each, or one residual block")
    width: int = option(32, "of the four hidden layers of every net")
    coefficient: float = option(0.8, "bound of every norm in the residual flow; 0.7: the released code's default")
    grid: int = option(96, "points of the grid along a side of [-8, 8)")
    variants: str = option("affine,modified,residual", "which ones, separated by commas")

    def check(self) -> None:
        """Raise ConfigError for a wrong option."""
        from pipeline.studies.checkerboard.training import VARIANTS

        at_least_one(self, "seeds", "iterations", "batch", "blocks", "width")
        if self.grid < 8:  # a coarser one has no points near the jumps
            raise ConfigError(f"--grid: {self.grid} is less than 8")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ConfigError(f"--learning-rate: {self.learning_rate} is not a finite number > 0")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"--weight-decay: {self.weight_decay} is not a finite number >= 0")
        if not 0 < self.coefficient < 1:
            raise ConfigError(f"--coefficient: {self.coefficient} is not between 0 and 1")
        chosen(self, "variants", VARIANTS)

    def run(self, lab: Lab) -> StudyPage:
        """Train and measure every variant and seed; write results.csv, errors.png and densities.png."""
        from pipeline.reporting.style import to_png
        from pipeline.studies.checkerboard import figures
        from pipeline.studies.checkerboard.page import page
        from pipeline.studies.checkerboard.training import VARIANTS

        names = chosen(self, "variants", VARIANTS)
        # the slow ones first, so that no process is left with one of them at the end
        tags: list[dict[str, Tag]] = [
            {"variant": name, "seed": seed} for name in reversed(names) for seed in range(self.seeds)
        ]
        found = lab.trials(functools.partial(_train_and_measure, self), tags)
        found = [one for name in names for one in found if one["variant"] == name]
        first = {one["variant"]: one for one in found if one["seed"] == 0}
        maps, samples = ({name: one[part] for name, one in first.items()} for part in _PICTURES)
        write_bytes(lab.out / "errors.png", to_png(figures.errors(maps)))
        write_bytes(lab.out / "densities.png", to_png(figures.densities(maps, samples)))
        rows = [{key: value for key, value in one.items() if key not in _PICTURES} for one in found]
        write_csv(lab.out / "results.csv", list(rows[0]), rows)
        return page(self.name, self._scale(), self.iterations, rows)

    def _scale(self) -> str:
        return (
            f"{self.seeds} seeds of {self.iterations:,} steps at batch {self.batch}, {self.blocks} blocks of "
            f"width {self.width}, float32, {self.grid} x {self.grid} points; the paper: one flow of 50,000 steps at "
            "batch 500, 100 blocks of width 128 (deliberately large, to provoke failures), 320 x 320 points"
        )


def _train_and_measure(study: Checkerboard, trial: Trial) -> dict[str, Any]:
    from pipeline.studies.checkerboard import training
    from pipeline.studies.checkerboard.measuring import measure

    seed, variant = int(trial.tags["seed"]), str(trial.tags["variant"])
    trial.seed_weights("checkerboard", seed)
    network = training.VARIANTS[variant](study.blocks, study.width, study.coefficient)
    plan = training.plan(study.iterations, study.learning_rate, study.weight_decay)
    network, skipped = training.train(trial, network, plan, study.batch)
    return {**measure(network, study.grid, pictures=seed == 0), "skipped_steps": skipped}
