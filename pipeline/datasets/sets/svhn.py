"""SVHN: house numbers in street views, an out-of-distribution set for CIFAR-10 models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.contract import DataSet, Listing, PictureSource, Wanted
from pipeline.datasets.digits import BRIGHTEST, ORIGIN, scanned_digits
from pipeline.feed.manifest import Split
from pipeline.pictures.decode import Unreadable

_FILES: tuple[tuple[str, Split, int], ...] = (
    ("train_32x32.mat", "train", 73_257),
    ("test_32x32.mat", "validation", 26_032),
)
_LARGEST = 1_000_000  # pictures in one file; the published "extra" file has 531,131
_DEMO = 500  # pictures
_ENLARGED = 4  # 8 x 8 digits become 32 x 32


class SVHN(DataSet):
    """SVHN, cropped digits (Netzer et al., 2011): the test set of 26,032 pictures, 32 x 32; training is optional.

    The folder::

        test_32x32.mat      validation: X (32, 32, 3, N) uint8, y (N, 1) with 10 for the digit 0
        train_32x32.mat     training, 73,257 pictures, if it is there

    The files are read by ``scipy.io.loadmat``, which reads numbers and runs nothing. Labels are the digits 0 to 9.

    The demo source is not SVHN: scanned digits inside scikit-learn, 8 x 8, grey, every pixel repeated 4 x 4.
    """

    name = "svhn"
    licence = "SVHN: for non-commercial use only (its authors' terms)"
    demo_licence = "handwritten digits inside scikit-learn (UCI, E. Alpaydin and C. Kaynak; CC BY 4.0)"
    splits_needed = ("validation",)
    published_duplicates = True

    def demo(self) -> Listing:
        """Return scanned digits that stand in for house numbers."""
        listing = Listing(notes=["demo: scikit-learn's scanned 8 x 8 digits enlarged to 32 x 32, not SVHN"])
        for number, (values, label) in enumerate(zip(*scanned_digits(_DEMO), strict=True)):
            grey = (values * 255 // BRIGHTEST).astype(np.uint8)
            pixels = np.repeat(grey.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1)[..., None], 3, axis=2)
            place = f"sklearn/{ORIGIN}[{number}]"
            listing.pictures.append(PictureSource(f"digit-{number:05d}", "validation", place, pixels, label=int(label)))
        return listing

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pictures of the test file, and of the training file if it is there."""
        listing = Listing()
        for name, split, count in _FILES:
            if not (path / name).is_file():
                if split in self.splits_needed:
                    listing.missing.append(f"{name} ({count} pictures)")
                continue
            try:
                pixels, labels = _read(path / name)
            except Unreadable as error:
                listing.faults.append(f"{name}: {error}")
                continue
            if len(pixels) < count:
                listing.missing.append(f"{name}: {count - len(pixels)} of {count} pictures")
            for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
                identity = f"{name.partition('_')[0]}-{number:06d}"
                listing.pictures.append(
                    PictureSource(identity, split, f"{name}[{number}]", picture, label=int(label) % 10)
                )
        return listing


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels ``(N, 32, 32, 3)`` uint8 and labels ``(N,)``; Unreadable if the file holds anything else."""
    from scipy.io import loadmat, whosmat  # type: ignore[import-untyped]

    expected = "X (32, 32, 3, N) uint8 and y (N, 1) are expected"
    try:
        described = {name: (shape, kind) for name, shape, kind in whosmat(file)}  # before anything is decompressed
        shape, kind = described.get("X", ((), ""))
        if kind != "uint8" or shape[:3] != (32, 32, 3) or len(shape) != 4 or shape[3] > _LARGEST:
            raise Unreadable(f"X is {shape or 'not there'} {kind}; {expected}")
        content: dict[str, Any] = loadmat(file, variable_names=["X", "y"])
        labels = np.asarray(content.get("y", ())).ravel()
    except Unreadable:
        raise
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise Unreadable(f"not a MATLAB file that can be read ({type(error).__name__}); {expected}") from None
    pixels = np.ascontiguousarray(content["X"].transpose(3, 0, 1, 2))
    if labels.dtype.kind not in "iu" or len(labels) != len(pixels):
        raise Unreadable(f"y has {len(labels)} labels for {len(pixels)} pictures; {expected}")
    return pixels, labels
