"""LOL: photographs at a short and at a normal exposure, for low-light enhancement."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pipeline.datasets.contract import DataSet, Listing, Wanted
from pipeline.datasets.sets.low_light_pairs import SYNTHETIC_LICENCE, PairFolder, all_paired, synthetic_pairs

_ROOTS = ("", "LOLdataset/", "LOL/", "LOL-v1/", "LOLv1/")


def _part(folder: str, split: str, count: int) -> PairFolder:
    low, high = (tuple(f"{root}{folder}/{side}" for root in _ROOTS) for side in ("low", "high"))
    return PairFolder(folder, "train" if split == "train" else "validation", count, low, high)


class LOL(DataSet):
    """LOL (Wei et al., "Deep Retinex decomposition", 2018): 485 pairs for training, 15 held out, 400 x 600 (H x W).

    The folder, itself or with ``LOLdataset/`` in it::

        our485/low/N.png     our485/high/N.png      training, 485 pairs
        eval15/low/N.png     eval15/high/N.png      validation, 15 pairs

    A pair has the same number on both sides. More than 485 pairs (a link with 789 is about) are not LOL alone.

    The demo source are photographs that were darkened by a model; it is named synthetic wherever it appears.
    """

    name = "lol"
    licence = "LOL: published for research by its authors, without a licence text; ask them before any other use"
    demo_licence = SYNTHETIC_LICENCE
    overlaps: ClassVar = {
        "lol_v2": "training pictures of LOL show scenes of LOL-v2's test set",
        "ve_lol": "training pictures of LOL show scenes of VE-LOL's test set",
    }

    def demo(self) -> Listing:
        """Return synthetic pairs made from real photographs."""
        return synthetic_pairs(self.name, "LOL")

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pairs of ``our485`` and ``eval15``."""
        return all_paired(path, [_part("our485", "train", 485), _part("eval15", "validation", 15)])
