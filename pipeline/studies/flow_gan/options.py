"""What can be set; study.py checks it and works with it."""

from __future__ import annotations

import dataclasses

from pipeline.studies.contract import Study, option
from pipeline.studies.sources import DIGITS

# objective -> does it have the adversarial loss, the likelihood's (Table 13)
OBJECTIVES = {"mle": (False, True), "gan": (True, False), "flow_gan": (True, True)}


@dataclasses.dataclass(frozen=True)
class FlowGanOptions(Study):
    """The options; params.yaml has the paper's under ``studies.paper``.

    ``mle_weight`` is that of nats summed over a picture, in "flow_gan"; alone, the likelihood's weight is 1. It is
    1e-3 for the 3,072 values of CIFAR-10; per value as much is 0.048 for the 64 of digits.
    """

    source: str = option(DIGITS, "digits (scikit-learn's), or a folder of CIFAR-10")
    objectives: str = option(",".join(OBJECTIVES), "which ones, separated by commas")
    coupling: str = option("additive", "additive, affine, modified_affine or affine_released")
    seeds: int = option(2, "flows per objective")
    levels: int = option(2, "levels of the flow, each with a squeeze")
    blocks: int = option(4, "steps of the flow per level")
    hidden: int = option(32, "channels inside of its couplings")
    permutation: str = option("reverse", "of its channels: reverse, shuffle, learned or fixed_orthogonal")
    judge: str = option("16,32,64", "channels of the discriminator's convolutions, separated by commas")
    steps: int = option(200, "updates of both networks")
    batch: int = option(32, "pictures per update")
    learning_rate: float = option(1e-2, "of the flow's Adam")
    judge_learning_rate: float = option(2e-3, "of the discriminator's Adam")
    mle_weight: float = option(0.048, "of the likelihood beside the adversarial loss")
    penalty: float = option(10.0, "of the discriminator's gradient penalty")
    actnorm_from_data: bool = option(False, "start ActNorm from a batch; the released code does not")
    watched: int = option(8, "how often stability is measured while training")

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the latent's (channels, rows, columns) for pictures of ``shape``."""
        channels, height, width = shape
        return channels * 4**self.levels, height // 2**self.levels, width // 2**self.levels
