"""LOL-v2: captured and synthetic low-light pairs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pipeline.datasets.contract import DataSet, Listing, Wanted, one_of
from pipeline.datasets.sets.low_light_pairs import SYNTHETIC_LICENCE, PairFolder, all_paired, synthetic_pairs
from pipeline.feed.manifest import Split

_ROOTS = ("", "LOL-v2/", "LOLv2/", "LOL_v2/")
_LOW, _NORMAL = ("Low",), ("Normal", "High")  # some scripts want `high`


def _part(folder: str, prefix: str, side: str, split: Split, count: int) -> PairFolder:
    low, normal = (
        tuple(f"{root}{folder}/{side}/{name}" for name in names for root in _ROOTS) for names in (_LOW, _NORMAL)
    )
    return PairFolder(f"{prefix}-{side.lower()}", split, count, low, normal)


_PARTS = {
    "real": (
        _part("Real_captured", "real", "Train", "train", 689),
        _part("Real_captured", "real", "Test", "validation", 100),
    ),
    "synthetic": (
        _part("Synthetic", "synthetic", "Train", "train", 900),
        _part("Synthetic", "synthetic", "Test", "validation", 100),
    ),
}


class LOLv2(DataSet):
    """LOL-v2 (Yang et al., "Sparse gradient regularized deep Retinex network", 2021): 689 + 900 pairs, 100 + 100.

    The folder, itself or with ``LOL-v2/`` in it; letter case does not matter, and ``High`` is read as ``Normal``::

        Real_captured/Train/Low/low00001.png   Real_captured/Train/Normal/normal00001.png   689 pairs
        Real_captured/Test/Low/                Real_captured/Test/Normal/                   100 pairs
        Synthetic/Train/Low/r*.png             Synthetic/Train/Normal/r*.png                900 pairs
        Synthetic/Test/Low/                    Synthetic/Test/Normal/                       100 pairs

    Captured pairs share a number, synthetic ones the whole name. Option ``part``: ``both``, ``real`` or
    ``synthetic`` for training and validation alike.

    The demo source are photographs that were darkened by a model; it is named synthetic wherever it appears.
    """

    name = "lol_v2"
    licence = "LOL-v2: published for research by its authors, without a licence text; ask them before any other use"
    demo_licence = SYNTHETIC_LICENCE
    options: ClassVar = {"part": one_of("both", "real", "synthetic")}
    overlaps: ClassVar = {
        "lol": "scenes of LOL-v2's test set stand in the training pictures of LOL",
        "ve_lol": "LOL-v2 and VE-LOL share captured scenes",
    }

    def demo(self) -> Listing:
        """Return synthetic pairs made from real photographs."""
        return synthetic_pairs(self.name, "LOL-v2")

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pairs of the chosen parts."""
        part = self.option(wanted, "part")
        chosen = _PARTS if part == "both" else {part: _PARTS[part]}
        return all_paired(path, [folder for folders in chosen.values() for folder in folders])
