"""What all analyses look at: a network, held-out pictures and stress inputs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.restoration.flow import RestorationFlow
from pipeline.inference.sampling import latents, pad_to_multiple
from pipeline.model_folder import LoadedFlow
from pipeline.stability.stress import StressInput

IN_DISTRIBUTION = "in_distribution"


class Input(NamedTuple):
    """One input of an audit. Inputs with equal ``condition`` are averaged: all held-out pictures have the same."""

    condition: str  # IN_DISTRIBUTION, or the name of the stress input
    kind: str  # IN_DISTRIBUTION, or the kind of the stress input
    name: str
    seen: Tensor  # what the network sees, (1, C, h, w)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network and the inputs it is audited on, all on one device."""

    flow: LoadedFlow
    pictures: list[tuple[str, Tensor, Tensor]]  # (id, target (1, 3, H, W) in [0, 1], what the network sees)
    stress: list[StressInput]
    draws: int
    temperature: float
    seed: int

    @property
    def network(self) -> RestorationFlow:
        """Return the flow's network."""
        return self.flow.network

    def condition(self, seen: Tensor) -> tuple[Tensor, Any]:
        """Return the padded input and what all of its draws share."""
        padded = pad_to_multiple(seen, self.network.multiple)
        return padded, self.network.share(padded)

    def latents(self, padded: Tensor, name: str) -> Tensor:
        """Return the latents ``(draws, C, h, w)`` for an input; the same as ``sample`` would use."""
        shape = self.network.latent_shape(*padded.shape[2:])
        return latents(shape, range(self.draws), self.temperature, self.seed, name).to(padded.device)

    def crops(self, count: int, side: int) -> tuple[list[str], Tensor, Tensor]:
        """Return the middles of the first ``count`` held-out pictures as one batch: their names, targets
        ``(B, 3, H, W)`` in [0, 1], and what the network sees of them.

        They are square, ``side`` pixels at most, less where a picture is smaller, and a multiple of what the network
        can take.
        """
        chosen, scale = self.pictures[:count], self.network.scale
        unit = self.network.multiple * scale
        least = min(min(target.shape[2:]) for _, target, _ in chosen)
        side = max(unit, min(side, least) // unit * unit)
        targets = [_middle(target, side, unit) for _, target, _ in chosen]
        seen = [_middle(seen, side // scale, self.network.multiple) for _, _, seen in chosen]
        return [name for name, _, _ in chosen], torch.cat(targets), torch.cat(seen)

    def inputs(self) -> list[Input]:
        """Return every input: held-out pictures, then stress inputs."""
        held_out = [Input(IN_DISTRIBUTION, IN_DISTRIBUTION, name, seen) for name, _, seen in self.pictures]
        return held_out + [Input(stress.name, stress.kind, stress.name, stress.seen) for stress in self.stress]


def _middle(image: Tensor, side: int, unit: int) -> Tensor:
    """Return the middle ``(B, C, side, side)``; it begins at multiples of ``unit``, as an input's pixels do."""
    top, left = ((length - side) // 2 // unit * unit for length in image.shape[2:])
    return image[:, :, top : top + side, left : left + side]


def finite_or_none(value: float) -> float | None:
    """Return ``value``, or None where it is inf or NaN: JSON holds no such number."""
    return value if math.isfinite(value) else None
