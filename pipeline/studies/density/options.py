"""What can be set; study.py checks it and works with it."""

from __future__ import annotations

import dataclasses

from pipeline.studies.contract import Study, option
from pipeline.studies.sources import DIGITS


@dataclasses.dataclass(frozen=True)
class DensityOptions(Study):
    """The options; params.yaml has the paper's under ``studies.paper``."""

    source: str = option(DIGITS, "digits (scikit-learn's), or a folder of CIFAR-10")
    variants: str = option("additive,affine,modified_affine,residual", "which flows, separated by commas")
    seeds: int = option(2, "flows per variant")
    levels: int = option(3, "levels of every flow, each with a squeeze")
    blocks: int = option(4, "steps of Glow per level")
    hidden: int = option(32, "channels inside of Glow's couplings")
    permutation: str = option("reverse", "of Glow's channels: reverse, shuffle, learned or fixed_orthogonal")
    steps: int = option(250, "updates of a Glow")
    batch: int = option(64, "pictures per update")
    learning_rate: float = option(1e-3, "of Adamax")
    weight_decay: float = option(5e-5, "of Adamax")
    warmup: int = option(25, "updates in which the learning rate rises")
    augment: bool = option(False, "flip and move training pictures; not for digits")
    residual_blocks: int = option(2, "blocks of the residual flow per level")
    residual_hidden: int = option(32, "channels inside of its blocks")
    residual_steps: int = option(100, "its updates")
    residual_learning_rate: float = option(1e-3, "of its Adam")
    residual_clip_norm: float = option(1.0, "of its gradients")
    exact_terms: int = option(2, "terms of its log-determinant that are always computed")
    pictures: int = option(100, "pictures per set that are reconstructed, and samples")
    others: str = option("", "more sets to reconstruct, NAME=FOLDER,... such as svhn=/data/svhn")
    attack_pictures: int = option(4, "pictures that are attacked inside of their dequantization box")
    attack_steps: int = option(20, "steps of the attack")
    attack_step: float = option(0.1, "size of one, in halves of the box's side")
    watched: int = option(5, "how often stability is measured while training")
