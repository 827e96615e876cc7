"""Miniatures of the published data sets: true folder and file names, filled with parts of real photographs."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import DatasetConfig
from pipeline.datasets.catalogue import DATASETS
from pipeline.datasets.check import Source, check_sources
from pipeline.datasets.contract import Wanted
from pipeline.datasets.prepare import prepare_source
from pipeline.errors import DataError
from pipeline.feed.bicubic import imresize
from pipeline.feed.darkening import darken


class Photographs:
    """Gives a part of a real photograph, another one each time."""

    def __init__(self):
        files = {picture.id: picture.content for picture in DATASETS["df2k"].demo().pictures}
        self._pixels = np.asarray(Image.open(files["coffee"]))
        self._number = 0

    def part(self, height, width):
        self._number += 1
        top = self._number * 7 % (self._pixels.shape[0] - height)
        left = self._number * 13 % (self._pixels.shape[1] - width)
        return np.ascontiguousarray(self._pixels[top : top + height, left : left + width])


def smaller(pixels, scale):
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return imresize(batch, 1 / scale)[0].permute(1, 2, 0).numpy()


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **({"quality": 95} if path.suffix.lower() == ".jpg" else {}))


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=4))


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote text, which is how the batches of CIFAR-10 were made."""

    def _save_text(self, content):
        self.write(b"T" + struct.pack("<i", len(content)) + content)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, bytes: _save_text}


def dump_python2(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        _Python2Pickler(file, protocol=2).dump(content)


def df2k(root, photographs, published=False):
    for folder, digits, numbers in (
        ("DIV2K_train_HR", 4, (1, 2, 800)), ("Flickr2K_HR", 6, (1, 2650)), ("DIV2K_valid_HR", 4, (801, 900)),
    ):  # fmt: skip
        low = f"{folder.removesuffix('HR')}LR_bicubic/X4"
        for number in numbers:
            pixels = photographs.part(40, 63)  # 63: no multiple of the scale
            save(root / folder / f"{number:0{digits}d}.png", pixels)
            if published:
                save(root / low / f"{number:0{digits}d}x4.png", smaller(pixels, 4))


def df2k_published(root, photographs):
    df2k(root, photographs, published=True)


def ntire(root, photographs):
    for split, numbers in (("tr", (1, 2, 800)), ("va", (801, 900))):
        for number in numbers:
            pixels = photographs.part(40, 64)
            save(root / f"DIV2K-{split}_1X" / f"{number:04d}.png", pixels)
            save(root / f"DIV2K-{split}_8X" / f"{number:04d}.png", smaller(pixels, 8))


def df2k_lists(root, photographs):
    for name, count in (("DF2K-tr", 4), ("DIV2K-va", 2)):
        pictures = [photographs.part(40, 40) for _ in range(count)]
        dump(root / "datasets" / f"{name}.pklv4", pictures)
        dump(root / "datasets" / f"{name}_X4.pklv4", [smaller(picture, 4) for picture in pictures])


def celeba(root, photographs):
    for number in (1, 2, 182_340, 182_341, 202_599):
        save(root / "img_align_celeba" / f"{number:06d}.jpg", photographs.part(218, 178))


def celeba_crops(root, photographs):
    for number in (1, 2, 182_340, 182_341, 202_599):
        save(root / "crops_160" / f"{number:06d}.png", photographs.part(160, 160))


def pair(low, normal, photographs):
    pixels = photographs.part(40, 60)
    save(normal, pixels)
    save(low, darken(pixels, normal.name))


def lol(root, photographs):
    for folder, numbers in (("our485", (2, 10, 100)), ("eval15", (1, 22))):
        for number in numbers:
            above = root / "LOLdataset" / folder
            pair(above / "low" / f"{number}.png", above / "high" / f"{number}.png", photographs)


def lol_v2(root, photographs):
    for side, real, synthetic in (("Train", (1, 2), ("r000da54ft",)), ("Test", (690, 691), ("r01b8ecf5t",))):
        for number in real:
            above = root / "Real_captured" / side
            pair(above / f"Low/low{number:05d}.png", above / f"Normal/normal{number:05d}.png", photographs)
        for name in synthetic:
            above = root / "Synthetic" / side
            pair(above / f"Low/{name}.png", above / f"Normal/{name}.png", photographs)


def ve_lol(root, photographs):
    for kind in ("Cap", "Syn"):
        for side, numbers in (("train", (1, 2)), ("test", (690, 691))):
            above = root / f"VE-LOL-L-{kind}-Full"
            for number in numbers:
                low = above / f"VE-LOL-L-{kind}-Low_{side}" / f"low{number:05d}.png"
                pair(low, above / f"VE-LOL-L-{kind}-Normal_{side}" / f"normal{number:05d}.png", photographs)


def cifar10(root, photographs):
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        pictures = [photographs.part(32, 32).transpose(2, 0, 1).ravel() for _ in range(3)]
        content = {b"data": np.stack(pictures), b"labels": [3, 0, 9], b"batch_label": b"", b"filenames": [b"a"] * 3}
        dump_python2(root / "cifar-10-batches-py" / name, content)


def cifar10_classes(root, photographs):
    for side in ("train", "test"):
        for kind in ("airplane", "truck"):
            for number in (1, 2):
                save(root / side / kind / f"{number:04d}.png", photographs.part(32, 32))


def svhn(root, photographs):
    from scipy.io import savemat

    for name in ("train", "test"):
        pictures = [photographs.part(32, 32) for _ in range(4)]
        content = {"X": np.stack(pictures, axis=-1), "y": np.array([[1], [10], [3], [4]], np.uint8)}
        root.mkdir(exist_ok=True)
        savemat(root / f"{name}_32x32.mat", content, do_compression=True)


def textures(root, photographs):
    for name in ("banded/banded_0002.jpg", "woven/woven_0001.jpg"):
        save(root / "images" / name, photographs.part(50, 70))


def pictures(root, photographs):
    for name in ("IMG 0001 (2).jpg", "a/b.png", "a-b.png", "a_b.bmp", "été/ünï.png", "DSC.0001.JPG", "d.tif"):
        save(root / name, photographs.part(50, 70))
    (root / ".hidden.png").write_bytes(b"no picture")
    (root / "notes.txt").write_text("no picture")


def picture_pairs(root, photographs):
    for name in ("evening/street 1", "1", "2", "d"):
        pair(root / "Low" / f"{name}.png", root / "normal" / f"{name}.bmp", photographs)
    save(root / "Low" / "alone.png", photographs.part(40, 60))


@dataclass(frozen=True)
class Tree:
    """A layout: what fills it, what is expected of it; ``victim`` and ``held_out`` are files to spoil."""

    data_set: str
    fill: Callable
    train: list[str]
    validation: list[str]
    victim: str
    held_out: str
    missing: str
    pairs: bool = False
    scale: int = 1
    options: dict[str, str] = field(default_factory=dict)

    @property
    def of_files(self):
        """Every picture is a file of its own."""
        return not self.victim.endswith((".pklv4", ".mat")) and Path(self.victim).suffix != ""

    def make(self, root: Path) -> Path:
        self.fill(root, Photographs())
        return root

    def source(self, root, allow_partial=True, crop=32):
        settings = DatasetConfig(source=str(root), allow_partial=allow_partial, options=self.options)
        return Source(
            DATASETS[self.data_set], settings, Wanted(self.scale, self.options, self.pairs and self.scale == 1), crop
        )


_DF2K = ["div2k-0001", "div2k-0002", "div2k-0800", "flickr2k-000001", "flickr2k-002650"]
_FACES = ["000001", "000002", "182340"], ["182341", "202599"]
TREES = {
    "df2k": Tree(
        "df2k", df2k, _DF2K, ["div2k-0801", "div2k-0900"], "DIV2K_train_HR/0002.png", "DIV2K_valid_HR/0801.png",
        "DIV2K_train_HR: 797 of 800 pictures", scale=4,
    ),
    "df2k published": Tree(
        "df2k", df2k_published, _DF2K, ["div2k-0801", "div2k-0900"],
        "Flickr2K_HR/002650.png", "DIV2K_valid_HR/0900.png", "Flickr2K_LR_bicubic/X4: 2648 of 2650 pictures",
        pairs=True, scale=4, options={"low_resolution": "published"},
    ),
    "df2k ntire": Tree(
        "df2k", ntire, _DF2K[:3], ["div2k-0801", "div2k-0900"], "DIV2K-tr_1X/0002.png", "DIV2K-va_1X/0801.png",
        "DIV2K-tr_8X: 797 of 800 pictures", pairs=True, scale=8,
        options={"low_resolution": "published"},
    ),
    "df2k lists": Tree(
        "df2k", df2k_lists, [f"DF2K-tr-{n:06d}" for n in range(4)], [f"DIV2K-va-{n:06d}" for n in range(2)],
        "datasets/DF2K-tr.pklv4", "datasets/DIV2K-va.pklv4", "DF2K-tr.pklv4: 162146 of 162150 pictures",
        pairs=True, scale=4, options={"low_resolution": "published"},
    ),
    "celeba": Tree(
        "celeba", celeba, *_FACES, "img_align_celeba/000002.jpg", "img_align_celeba/182341.jpg",
        "img_align_celeba: 202594 of 202599 pictures",
    ),
    "celeba crops": Tree(
        "celeba", celeba_crops, *_FACES, "crops_160/000002.png", "crops_160/182341.png",
        "crops_160: 202594 of 202599 pictures",
    ),
    "lol": Tree(
        "lol", lol, ["our485-2", "our485-10", "our485-100"], ["eval15-1", "eval15-22"],
        "LOLdataset/our485/high/10.png", "LOLdataset/eval15/high/22.png", "our485: 482 of 485 pairs", pairs=True,
    ),
    "lol_v2": Tree(
        "lol_v2", lol_v2, ["real-train-00001", "real-train-00002", "synthetic-train-r000da54ft"],
        ["real-test-00690", "real-test-00691", "synthetic-test-r01b8ecf5t"],
        "Real_captured/Train/Normal/normal00002.png", "Real_captured/Test/Normal/normal00690.png",
        "synthetic-train: 899 of 900 pairs", pairs=True,
    ),
    "ve_lol": Tree(
        "ve_lol", ve_lol, ["cap-train-00001", "cap-train-00002", "syn-train-00001", "syn-train-00002"],
        ["cap-test-00690", "cap-test-00691"],
        "VE-LOL-L-Cap-Full/VE-LOL-L-Cap-Normal_train/normal00002.png",
        "VE-LOL-L-Cap-Full/VE-LOL-L-Cap-Normal_test/normal00690.png", "cap-train: 398 of 400 pairs", pairs=True,
    ),
    "cifar10": Tree(
        "cifar10", cifar10, [f"data_batch_{n}-{i:05d}" for n in range(1, 6) for i in range(3)],
        [f"test_batch-{i:05d}" for i in range(3)], "cifar-10-batches-py/data_batch_2",
        "cifar-10-batches-py/test_batch", "data_batch_1: 9997 of 10000 pictures",
    ),
    "cifar10 classes": Tree(
        "cifar10", cifar10_classes,
        [f"train-{kind}-{n:04d}" for kind in ("airplane", "truck") for n in (1, 2)],
        [f"test-{kind}-{n:04d}" for kind in ("airplane", "truck") for n in (1, 2)],
        "train/truck/0001.png", "test/truck/0002.png", "train/bird: 5000 of 5000 pictures",
    ),
    "svhn": Tree(
        "svhn", svhn, [f"train-{n:06d}" for n in range(4)], [f"test-{n:06d}" for n in range(4)],
        "test_32x32.mat", "train_32x32.mat", "test_32x32.mat: 26028 of 26032 pictures",
    ),
    "textures": Tree(
        "textures", textures, [], ["images-banded-banded_0002.jpg", "images-woven-woven_0001.jpg"],
        "images/banded/banded_0002.jpg", "images/woven/woven_0001.jpg", "",
    ),
    "pictures": Tree(
        "pictures", pictures,
        ["train-a_b.png-88f7ec79", "train-a-b.png", "train-a_b.bmp", "train-_t_n_.png-58c5be42", "train-DSC.0001.JPG"],
        ["validation-IMG_0001_2_.jpg-b1243acc", "validation-d.tif"], "a-b.png", "d.tif", "",
        options={"validation": "0.3"},
    ),
    "pictures in pairs": Tree(
        "pictures", picture_pairs, ["train-evening_street_1-aaf4aafd", "train-2"], ["validation-1", "validation-d"],
        "normal/2.bmp", "normal/d.bmp", "high: no partner of alone", pairs=True, options={"validation": "0.5"},
    ),
}  # fmt: skip


def code_that_leaves(mark: Path):
    """Return an object whose pickle, if it were run, would write ``mark``."""

    class Harm:
        def __reduce__(self):
            return os.system, (f"touch {mark}",)

    return Harm()


def prepared(tree, root, **changes):
    """Prepare the tree at ``root``; return the manifest's path."""
    return prepare_source("task", tree.source(root, **changes), root.parent)


def faults(tree, root, **changes):
    """Return the lines of a refused source; nothing is published, and checking alone says the same."""
    source = tree.source(root, **changes)
    with pytest.raises(DataError) as told:
        prepare_source("task", source, root.parent)
    assert not (root.parent / "data" / "prepared" / "task").exists()
    with pytest.raises(DataError) as again:
        check_sources([source], root.parent)
    assert str(again.value) == str(told.value)
    headline, *lines = str(told.value).split("\n")
    assert f"{len(lines)} fault" in headline
    assert all(line.strip().isprintable() for line in lines)
    return lines
