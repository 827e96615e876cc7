"""The contract of an analysis, and what all analyses look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.restoration.flow import RestorationFlow
from pipeline.inference.sampling import latents, pad_to_multiple
from pipeline.model_folder import LoadedFlow
from pipeline.stability.stress import StressInput

IN_DISTRIBUTION = "in_distribution"


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network and the inputs it is audited on, all on one device."""

    flow: LoadedFlow
    pictures: list[tuple[str, Tensor, Tensor]]  # (id, HR (1, 3, H, W), LR (1, 3, h, w)), floats in [0, 1]
    stress: list[StressInput]
    draws: int
    temperature: float
    seed: int

    @property
    def network(self) -> RestorationFlow:
        """Return the flow's network."""
        return self.flow.network

    def condition(self, lr: Tensor) -> tuple[Tensor, Any]:
        """Return the padded LR image and what all of its draws share."""
        padded = pad_to_multiple(lr, self.network.multiple)
        return padded, self.network.share(padded)

    def latents(self, padded: Tensor, name: str) -> Tensor:
        """Return the latents ``(draws, C, h, w)`` for an input; the same as ``sample`` would use."""
        shape = self.network.latent_shape(*padded.shape[2:])
        return latents(shape, range(self.draws), self.temperature, self.seed, name).to(padded.device)

    def inputs(self) -> list[tuple[str, str, Tensor]]:
        """Return (condition, name, LR image) of every input: held-out pictures, then stress inputs."""
        held_out = [(IN_DISTRIBUTION, name, lr) for name, _, lr in self.pictures]
        return held_out + [(stress.name, stress.name, stress.lr) for stress in self.stress]


@dataclasses.dataclass
class Findings:
    """What an analysis found: numbers for the summary, tables (file name, columns, rows), pictures."""

    numbers: dict[str, float | None]
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)
    tables: dict[str, tuple[list[str], list[dict[str, Any]]]] = dataclasses.field(default_factory=dict)
    pictures: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


Analysis = Callable[[Subject], Findings]


def finite_or_none(value: float) -> float | None:
    """Return ``value``, or None where it is inf or NaN: JSON holds no such number."""
    return value if bool(torch.isfinite(torch.tensor(value, dtype=torch.float64))) else None
