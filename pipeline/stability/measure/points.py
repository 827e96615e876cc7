"""Where an audit takes Jacobians: photographs, and the stress inputs whose draws look worst; all in float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from models.restoration.flow import RestorationFlow
from pipeline.pictures.eight_bit import bad_values, value_statistics
from pipeline.stability.measure.jacobian import float64_copy
from pipeline.stability.stress import StressInput
from pipeline.stability.subject import IN_DISTRIBUTION, Subject

_LEAST = 16  # pixels of the picture


@dataclasses.dataclass(frozen=True)
class Point:
    """A picture ``x`` and its latent ``z``, both ``(1, ...)``, under the condition of one input."""

    name: str
    kind: str  # IN_DISTRIBUTION, or the kind of the stress input
    condition: Any
    x: Tensor
    z: Tensor


class Points:
    """The points of a subject, on a copy of its network in float64 that is made once.

    ``size``: inputs are cut to their centre of at most so many pixels of the picture, but of 16 at least, since
    encoders take no less; 0: they are not cut.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.network: RestorationFlow = float64_copy(subject.network)

    @torch.no_grad()
    def photographs(self, count: int, size: int) -> list[Point]:
        """Return the first ``count`` held-out pictures themselves, with the latents that they are encoded to."""
        points = []
        for name, target, whole in self._subject.pictures[:count]:
            seen, (rows, columns) = self._centre(whole, size)
            x, condition = target[:, :, rows, columns].double(), self.network.share(seen.double())
            points.append(Point(name, IN_DISTRIBUTION, condition, x, self.network(x, condition)[0]))
        return points

    @torch.no_grad()
    def worst_stress(self, count: int, size: int) -> list[Point]:
        """Return the ``count`` stress inputs whose first draws look worst, each at a draw of what ``size`` leaves.

        Worst: the most values that are not finite or are outside of [-0.5, 1.5] (a share), then the largest value.
        """
        points = []
        for stress in sorted(self._subject.stress, key=self._badness, reverse=True)[:count]:
            seen, _ = self._centre(stress.seen, size)
            condition = self.network.share(seen.double())
            z = self._subject.latents(seen, stress.name)[:1].double()
            points.append(Point(stress.name, stress.kind, condition, self.network.inverse(z, condition)[0], z))
        return points

    def _badness(self, stress: StressInput) -> tuple[float, float]:
        padded, condition = self._subject.condition(stress.seen)
        draw, _ = self._subject.network.inverse(self._subject.latents(padded, stress.name)[:1], condition)
        counts = value_statistics(draw)
        bad = bad_values(counts) / counts["values"]
        return bad, max((abs(counts[end]) for end in ("minimum", "maximum") if counts[end] is not None), default=0.0)

    def _centre(self, seen: Tensor, size: int) -> tuple[Tensor, tuple[slice, slice]]:
        """Return the centre of an input, of sides that the network can take, and where it is in the picture."""
        scale, multiple = self.network.scale, self.network.multiple
        cuts, windows = [], []
        for side in seen.shape[2:]:
            kept = min(side, size // scale) if size else side
            kept = max(kept, min(side, _LEAST // scale))
            kept = max(multiple, kept - kept % multiple)
            first = (side - kept) // 2
            cuts.append(slice(first, first + kept))
            windows.append(slice(first * scale, (first + kept) * scale))
        return seen[:, :, cuts[0], cuts[1]], (windows[0], windows[1])
