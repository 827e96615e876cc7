"""Reconstruction error through the first layers of a network, in float64, float32 and bfloat16.

Paper B's Fig. 1 for a trained network: where along the layers, and from which precision on, invertibility is lost.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipeline.console import progress
from pipeline.stability.contract import Analysis, Curves, Found, Number
from pipeline.stability.measure.round_trip import PRECISIONS, RoundTrip, in_precision, round_trips
from pipeline.stability.measure.unrolled import unrolled
from pipeline.stability.subject import Subject, finite_or_none

DEPTH_TABLE = "reconstruction_by_depth.csv"
_WAYS = {"picture": "x to z and back", "latent": "z to x and back"}  # which of the two is sent round


@dataclasses.dataclass(frozen=True)
class ReconstructionByDepth(Analysis):
    """Errors of x -> z_l -> x on held-out pictures, and of z -> x_l -> z for their conditions.

    ``points``: how many depths l, evenly spread. ``pictures``: of which crops of ``side`` pixels are taken.
    """

    name: ClassVar = "reconstruction_by_depth"
    title: ClassVar = "Reconstruction error by depth"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "picture_<precision>": Number(
            "Reconstruction error of pictures, largest, {}", "of range 1", members={name: name for name in PRECISIONS}
        ),
        "latent_<precision>": Number(
            "Round trip of latents, largest, {}", "sigma", members={name: name for name in PRECISIONS}
        ),
        "nonfinite_<precision>": Number(
            "Not finite after a round trip, {}", "values", members={name: name for name in PRECISIONS}
        ),
    }
    tables: ClassVar = {
        DEPTH_TABLE: ("index", "layer", "dtype", "direction", "largest", "mean", "nonfinite_values", "values", "line")
    }
    plots: ClassVar = (
        Curves(
            name="reconstruction_by_depth",
            caption="Largest absolute error after the first layers and back, on held-out photographs: from picture "
            "towards latent (x to z and back, of range 1) and from latent towards picture (z to x and back, in "
            "standard deviations). In bfloat16 all weights and the output of every layer are rounded to it.",
            alt="Reconstruction error against the number of layers passed, per precision and direction",
            table=DEPTH_TABLE,
            x="index",
            y="largest",
            line="line",
            group="line",
            x_title="layers passed before turning back",
            y_title="largest absolute error",
        ),
    )
    points: int = 12
    pictures: int = 1
    side: int = 96  # pixels of the target

    def __post_init__(self) -> None:
        for name in ("points", "pictures", "side"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")

    @torch.no_grad()
    def run(self, subject: Subject) -> Found:
        """Return the largest errors of the whole network and how many values of these round trips are not finite.

        Pictures are of range 1, latents in units of the prior's standard deviation, as ``draws`` has them.
        """
        names, target, seen = subject.crops(self.pictures, self.side)
        z = torch.cat([subject.latents(one, name)[:1] for name, one in zip(names, seen.split(1), strict=True)])
        rows: list[dict[str, Any]] = []
        numbers: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        for precision in progress(list(PRECISIONS), self.title.lower()):
            ends = self._trips(subject, precision, {"picture": target, "latent": z}, seen)
            for sent, trips in ends.items():
                rows += [_row(trip, precision, _WAYS[sent]) for trip in trips]
                name = f"{sent}_{precision}"
                numbers[name] = finite_or_none(trips[-1].largest)
                if numbers[name] is None:
                    reasons[name] = f"{trips[-1].nonfinite} of {trips[-1].values} values not finite"
            numbers[f"nonfinite_{precision}"] = float(sum(trips[-1].nonfinite for trips in ends.values()))
        return Found(numbers, reasons, {DEPTH_TABLE: rows}, said=_said(numbers))

    def _trips(
        self, subject: Subject, precision: str, sent: dict[str, Tensor], seen: Tensor
    ) -> dict[str, list[RoundTrip]]:
        dtype = PRECISIONS[precision]
        network = in_precision(subject.network, dtype)
        steps = unrolled(network, network.share(seen.to(dtype)))
        return {
            name: round_trips(steps, value.to(dtype), self.points, inverse=name == "latent")
            for name, value in sent.items()
        }


def _row(trip: RoundTrip, precision: str, way: str) -> dict[str, Any]:
    return {
        "index": trip.depth,
        "layer": trip.layer,
        "dtype": precision,
        "direction": way,
        "largest": finite_or_none(trip.largest),
        "mean": finite_or_none(trip.mean),
        "nonfinite_values": trip.nonfinite,
        "values": trip.values,
        "line": f"{way}, {precision}",
    }


def _said(numbers: dict[str, float | None]) -> str:
    found = {precision: numbers[f"picture_{precision}"] for precision in PRECISIONS}
    shown = [f"{'not finite' if value is None else f'{value:.1e}'} in {name}" for name, value in found.items()]
    return f"reconstruction error of pictures {', '.join(shown)}"
