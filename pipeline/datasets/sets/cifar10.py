"""CIFAR-10: 60,000 small photographs in ten classes, for density estimation and classification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.contract import DataSet, Listing, PictureSource, Wanted
from pipeline.datasets.photographs import carrier_members
from pipeline.feed.manifest import Split
from pipeline.pictures.decode import Unreadable
from pipeline.pictures.folders import abridged, find_folder, picture_files, safe_id, shown
from pipeline.safe_pickle import read_pickle

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32  # pixels
_BATCH = 10_000  # pictures
_BATCHES: tuple[tuple[str, Split], ...] = (
    *((f"data_batch_{number}", "train") for number in range(1, 6)),
    ("test_batch", "validation"),
)
_FOLDERS: tuple[tuple[str, Split, int], ...] = (("train", "train", 5000), ("test", "validation", 1000))
_DEMO_HELD_OUT = 14  # demo pictures from this place on are validation


class CIFAR10(DataSet):
    """CIFAR-10 (Krizhevsky, 2009): 50,000 for training, the test set of 10,000 held out, 32 x 32.

    The folder, one of::

        cifar-10-batches-py/data_batch_1 ... data_batch_5     training, 10,000 each (or given itself as the source)
        cifar-10-batches-py/test_batch                        validation

        train/<class>/*.png                                   training, 5,000 per class
        test/<class>/*.png                                    validation, 1,000 per class

    Classes are airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck, numbered from 0. The batches
    are pickles: numbers, text and arrays are read from them, anything else is refused (``pickles``). JPEG files
    are taken too, and noted: they are lossy, so bits per dimension differ from published figures.

    The demo source are the first twenty pictures of the test set.
    """

    name = "cifar10"
    licence = "CIFAR-10: published for research by its authors, without a licence text; cite Krizhevsky (2009)"
    demo_licence = "20 pictures of CIFAR-10, carried by foolbox (MIT): for research"
    published_duplicates = True  # near-copies are known in its test set (Barz and Denzler, 2020)

    def demo(self) -> Listing:
        """Return the pictures of the carrier; the class is the last number of the file name."""
        listing = Listing(notes=["demo: 20 pictures of CIFAR-10's test set"])
        for member in carrier_members("imagenet_and_cifar", "cifar10_*.png"):
            split: Split = "train" if member.place < _DEMO_HELD_OUT else "validation"
            label = int(member.path.stem.rpartition("_")[2])
            source = PictureSource(member.path.stem, split, member.name, member.path, label=label)
            listing.pictures.append(source)
        return listing

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pictures of the batches if they are there, else of the class folders."""
        batches = find_folder(path, ["cifar-10-batches-py", "cifar-10/cifar-10-batches-py"])
        if batches is None and any((path / name).exists() for name, _ in _BATCHES):
            batches = path
        return _class_folders(path) if batches is None else _batches(path, batches)


def _batches(path: Path, folder: Path) -> Listing:
    listing = Listing()
    for name, split in _BATCHES:
        file = folder / name
        if not file.is_file():
            listing.missing.append(f"{name} ({_BATCH} pictures)")
            continue
        origin = file.relative_to(path).as_posix()
        try:
            pixels, labels = _batch(file)
        except Unreadable as error:
            listing.faults.append(f"{origin}: {error}")
            continue
        if len(pixels) < _BATCH:
            listing.missing.append(f"{name}: {_BATCH - len(pixels)} of {_BATCH} pictures")
        for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
            source = PictureSource(f"{name}-{number:05d}", split, f"{origin}[{number}]", picture, label=label)
            listing.pictures.append(source)
    return listing


def _batch(file: Path) -> tuple[np.ndarray, list[int]]:
    """Return pixels ``(N, 32, 32, 3)`` uint8 and labels of one batch; Unreadable if it is anything else."""
    content: Any = read_pickle(file)
    content = {_text(key): value for key, value in content.items()} if isinstance(content, dict) else {}
    rows, labels = content.get("data"), content.get("labels")
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3 * SIDE**2:
        raise Unreadable("not a batch of CIFAR-10: 'data' must be (N, 3072) uint8")
    right = isinstance(labels, list) and len(labels) == len(rows)
    if not right or not all(isinstance(label, int) and 0 <= label < len(CLASSES) for label in labels or ()):
        raise Unreadable(f"not a batch of CIFAR-10: 'labels' must be {len(rows)} numbers from 0 to 9")
    return np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)), labels or []


def _text(key: object) -> object:
    return key.decode("ascii", "replace") if isinstance(key, bytes) else key


def _class_folders(path: Path) -> Listing:
    listing = Listing()
    for name, split, count in _FOLDERS:
        folder = find_folder(path, [name])
        if folder is None:
            listing.missing.append(f"folder {name} ({count * len(CLASSES)} pictures), or cifar-10-batches-py")
            continue
        classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        strangers = [entry.name for entry in classes if entry.name not in CLASSES]
        if strangers:
            listing.faults.append(f"{name}: no classes of CIFAR-10: {abridged(strangers)}; {', '.join(CLASSES)} are")
        for label, kind in enumerate(CLASSES):
            files = picture_files(folder / kind) if (folder / kind).is_dir() else []
            if len(files) < count:
                listing.missing.append(f"{name}/{kind}: {count - len(files)} of {count} pictures")
            for file in files:
                origin = file.relative_to(path).as_posix()
                identity = f"{name}-{kind}-{safe_id(file.stem)}"
                listing.pictures.append(PictureSource(identity, split, origin, file, label=label))
    lossy = [picture.origin for picture in listing.pictures if not picture.origin.lower().endswith(".png")]
    if lossy:
        listing.notes.append(
            f"{len(lossy)} pictures are not PNG ({shown(lossy[0])}): lossy, so bits per dimension differ from "
            "published figures"
        )
    return listing
