"""VE-LOL-L: captured and synthetic low-light pairs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import ClassVar

from pipeline.datasets.contract import DataSet, Listing, Wanted, one_of
from pipeline.datasets.sets.low_light_pairs import SYNTHETIC_LICENCE, PairFolder, all_paired, synthetic_pairs
from pipeline.feed.manifest import Split

_ROOTS = ("", "VE-LOL-L/", "VE-LOL/")


def _part(kind: str, side: str, split: Split, count: int) -> PairFolder:
    above = (f"VE-LOL-L-{kind}-Full/", f"VE-LOL-L-{kind}/", "")
    low, normal = (
        tuple(f"{root}{folder}VE-LOL-L-{kind}-{light}_{side}" for root, folder in itertools.product(_ROOTS, above))
        for light in ("Low", "Normal")
    )
    return PairFolder(f"{kind.lower()}-{side}", split, count, low, normal)


_CAP_TRAIN, _CAP_TEST = _part("Cap", "train", "train", 400), _part("Cap", "test", "validation", 100)
_SYN_TRAIN, _SYN_TEST = _part("Syn", "train", "train", 900), _part("Syn", "test", "validation", 100)
_PARTS = {
    "paper": (_CAP_TRAIN, _SYN_TRAIN, _CAP_TEST),
    "both": (_CAP_TRAIN, _SYN_TRAIN, _CAP_TEST, _SYN_TEST),
    "captured": (_CAP_TRAIN, _CAP_TEST),
    "synthetic": (_SYN_TRAIN, _SYN_TEST),
}


class VELOL(DataSet):
    """VE-LOL-L (Liu et al., "Benchmarking low-light image enhancement and beyond", 2021): 400 + 900 pairs, 100 + 100.

    The folder, itself or with ``VE-LOL-L/`` in it; the middle folder may lack ``-Full``, or be left out::

        VE-LOL-L-Cap-Full/VE-LOL-L-Cap-Low_train/low00001.png   .../VE-LOL-L-Cap-Normal_train/normal00001.png   400
        VE-LOL-L-Cap-Full/VE-LOL-L-Cap-Low_test/                .../VE-LOL-L-Cap-Normal_test/                   100
        VE-LOL-L-Syn-Full/VE-LOL-L-Syn-Low_train/               .../VE-LOL-L-Syn-Normal_train/                  900
        VE-LOL-L-Syn-Full/VE-LOL-L-Syn-Low_test/                .../VE-LOL-L-Syn-Normal_test/                   100

    Pairs share a number. Option ``part``: ``paper`` trains on captured and synthetic pairs (1,300) and holds out
    the captured test set (100); ``both`` (as LLFlow's author does) holds out both; or ``captured``, ``synthetic``.

    The demo source are photographs that were darkened by a model; it is named synthetic wherever it appears.
    """

    name = "ve_lol"
    licence = "VE-LOL: published for research by its authors, without a licence text; ask them before any other use"
    demo_licence = SYNTHETIC_LICENCE
    options: ClassVar = {"part": one_of("paper", "both", "captured", "synthetic")}
    overlaps: ClassVar = {
        "lol": "scenes of VE-LOL's test set stand in the training pictures of LOL",
        "lol_v2": "LOL-v2 and VE-LOL share captured scenes",
    }

    def demo(self) -> Listing:
        """Return synthetic pairs made from real photographs."""
        return synthetic_pairs(self.name, "VE-LOL")

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pairs of the chosen parts."""
        return all_paired(path, _PARTS[self.option(wanted, "part")])
