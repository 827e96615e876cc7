"""The invertibility attack (paper B, 4.1.2 and appendix E) on held-out pictures, each under its own condition."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import ClassVar

import torch

from pipeline.errors import nearest
from pipeline.seeds import generator
from pipeline.stability.contract import Analysis, Found, Number, Picture
from pipeline.stability.drawing import NOT_FINITE_NAME, Pixels, Tile, enlarged, marked, tiled
from pipeline.stability.measure.attack import STARTS, Attacked, dequantization_box, invertibility_attack
from pipeline.stability.subject import Subject, finite_or_none

ATTACK_TABLE = "attack.csv"
ATTACK_PICTURE = "attack.png"
_SHOWN = 4  # pictures, a row each
_SIDE = 128  # pixels of a picture, if it is not larger


@dataclasses.dataclass(frozen=True)
class Attack(Analysis):
    """Reconstruction errors before and after, of pictures that are the held-out ones at ``bits`` bits.

    ``steps`` of ``size``, in a range of 1. ``start``: in the ``centre`` of the box (the paper's text) or at ``random``
    (its released code). ``pictures``: of so many, crops of ``side`` pixels are attacked, all at once.
    """

    name: ClassVar = "attack"
    title: ClassVar = "Invertibility attack"
    cost: ClassVar = "minutes"
    numbers: ClassVar = {
        "error_median_before": Number("Reconstruction error before the attack, median", "L2 norm"),
        "error_median_after": Number("Reconstruction error after the attack, median", "L2 norm"),
        "error_largest_before": Number("Reconstruction error before the attack, largest", "L2 norm"),
        "error_largest_after": Number("Reconstruction error after the attack, largest", "L2 norm"),
        "nonfinite_before": Number("Reconstructions not finite before the attack", "pictures"),
        "nonfinite_after": Number("Reconstructions not finite after the attack", "pictures"),
    }
    tables: ClassVar = {ATTACK_TABLE: ("picture", "before", "after", "nonfinite", "steps", "searched")}
    shown: ClassVar = (
        Picture(
            ATTACK_PICTURE,
            "From left to right: a held-out picture with so many bits kept, what the network reconstructs of it, the "
            "attacked picture, which has the same bits, and what the network reconstructs of that (Behrmann et al., "
            f"AISTATS 2021, Fig. 11). A network that is invertible shows the same four times; {NOT_FINITE_NAME} is "
            "not finite.",
            "Pictures and their reconstructions, before and after the invertibility attack",
        ),
    )
    bits: int = 5
    steps: int = 200
    size: float = 5e-4
    start: str = "centre"
    pictures: int = 4
    side: int = 64  # pixels of the target; the paper's pictures have 64

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise ValueError(f"bits must be 1 to 8, got {self.bits}")
        for name in ("steps", "pictures", "side"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not (self.size > 0 and math.isfinite(self.size)):
            raise ValueError(f"size must be positive, got {self.size}")
        if self.start not in STARTS:
            raise ValueError(f"start '{self.start}' does not exist; {nearest(self.start, STARTS)}")

    def run(self, subject: Subject) -> Found:
        """Return the median and the largest error over the pictures, and how many reconstructions are not finite.

        Errors are L2 norms over all values of a picture in [0, 1]. One that is not finite counts as infinite for the
        median, and leaves no largest.
        """
        names, target, seen = subject.crops(self.pictures, self.side)
        with torch.no_grad():
            condition = subject.network.share(seen)
        box = dequantization_box((target * 255.0).round().byte(), self.bits)
        sources = [generator("attack", subject.seed, name) for name in names]
        found = invertibility_attack(
            subject.network, box, sources, condition, self.steps, self.size, self.start, said=self.title.lower()
        )
        numbers: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        for when, errors in (("before", found.before.tolist()), ("after", found.after.tolist())):
            counted = [error if math.isfinite(error) else math.inf for error in errors]
            broken = counted.count(math.inf)
            for which, value in (("median", statistics.median(counted)), ("largest", max(counted))):
                name = f"error_{which}_{when}"
                numbers[name] = finite_or_none(value)
                if numbers[name] is None:
                    reasons[name] = f"not finite ({broken} of {len(counted)} pictures)"
            numbers[f"nonfinite_{when}"] = float(broken)
        rows = [
            dict(zip(self.tables[ATTACK_TABLE], row, strict=True))
            for row in zip(
                names,
                map(finite_or_none, found.before.tolist()),
                map(finite_or_none, found.after.tolist()),
                found.nonfinite.int().tolist(),
                found.steps.tolist(),
                found.searched.tolist(),
                strict=True,
            )
        ]
        drawn = _drawn(subject, found, condition, names)
        said = f"attacked {len(names)} pictures: {int(found.nonfinite.sum())} reconstructions not finite"
        return Found(numbers, reasons, {ATTACK_TABLE: rows}, {ATTACK_PICTURE: drawn}, said)


@torch.no_grad()
def _drawn(subject: Subject, found: Attacked, condition: object, names: list[str]) -> Pixels:
    network = subject.network
    shown = {}
    for when, x in (("before", found.start), ("after", found.picture)):
        shown[when] = x, network.inverse(network(x, condition)[0], condition)[0]
    rows: list[list[Tile]] = []
    for row in range(min(_SHOWN, len(names))):
        rows.append([])
        for when, errors in (("before", found.before), ("after", found.after)):
            picture, reconstruction = (enlarged(marked(images[row]), _SIDE) for images in shown[when])
            error = float(errors[row])
            written = f"error {error:.2g}" if math.isfinite(error) else "not finite"
            rows[-1] += [Tile((names[row], when), picture), Tile(("reconstruction", written), reconstruction)]
    return tiled(rows, columns=4)
