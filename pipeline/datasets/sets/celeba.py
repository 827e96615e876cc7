"""CelebA: faces of celebrities, for super-resolution by 8."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipeline.datasets.contract import DataSet, Listing, PictureSource, Pixels, Wanted, one_of
from pipeline.datasets.photographs import carrier_members
from pipeline.feed.manifest import Split
from pipeline.pictures.decode import Unreadable
from pipeline.pictures.folders import abridged, find_folder, picture_files

COUNT = 202_599
SIDE = 160  # pixels
ALIGNED = (218, 178)  # height, width of img_align_celeba
_PAPER_TRAINING = 182_340  # pictures 1 ... 182,340
_FOLDERS = (
    "img_align_celeba", "Img/img_align_celeba", "img_align_celeba/img_align_celeba", "img_align_celeba_png",
    "Img/img_align_celeba_png", "celeba/img_align_celeba", "crops_160", "",
)  # fmt: skip
_PARTITIONS = ("list_eval_partition.txt", "Eval/list_eval_partition.txt", "celeba/list_eval_partition.txt")
_IDENTITIES = ("identity_CelebA.txt", "Anno/identity_CelebA.txt", "celeba/identity_CelebA.txt")
_PARTITION: dict[str, Split | None] = {"0": "train", "1": "validation", "2": None}  # 2: the official test set
_BY_NUMBER = "split by number: held-out pictures whose person is in training too"
_DEMO_HELD_OUT = 900  # demo pictures from this number on are validation


@dataclass(frozen=True)
class FaceCrop:
    """The centre ``side x side`` pixels of an aligned picture of 178 x 218; a ready crop stays as it is."""

    side: int = SIDE

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return ``(side, side, 3)`` uint8; Unreadable for a picture of any other size."""
        height, width = pixels.shape[:2]
        if (height, width) == (self.side, self.side):
            return pixels
        if (height, width) != ALIGNED:
            raise Unreadable(
                f"{height} x {width}, where {ALIGNED[0]} x {ALIGNED[1]} (img_align_celeba) or a ready crop of "
                f"{self.side} x {self.side} is expected"
            )
        top, left = (height - self.side) // 2, (width - self.side) // 2
        return pixels[top : top + self.side, left : left + self.side]


class CelebA(DataSet):
    """CelebA (Liu et al., 2015): 202,599 faces. Split of the paper: 1 ... 182,340 for training, the rest held out.

    The folder, one of::

        img_align_celeba/000001.jpg ... 202599.jpg      178 x 218, aligned and cropped by the authors of CelebA
        crops_160/000001.png ... 202599.png             160 x 160, ready (.png or .jpg)

    also in ``Img/``, as ``img_align_celeba_png``, or given itself as the source. Beside it, for the option
    ``split: official`` (162,770 for training, 19,867 held out, the test set left out)::

        list_eval_partition.txt                         lines of a file name and 0, 1 or 2

    The published recipe makes other crops: it aligns the originals (``img_celeba``) at 640 x 640 with
    HD-CelebA-Cropper and shrinks those to 160 x 160. Who has made them puts them into ``crops_160/``. Of
    ``img_align_celeba`` the centre 160 x 160 pixels are taken as they are: enlarging or shrinking 178 pixels to
    160 would blur the pictures that the network has to draw. Figures from the two crops are not comparable.

    The paper names 182,341 ... 202,600 as its validation set, "total 20,260": one more than CelebA has. The last
    picture is 202,599, so 20,259 are held out.

    The official split is by person. The paper's and that of the demo are by number, so a person may be on both
    sides; with ``identity_CelebA.txt`` (lines of a file name and the number of a person) beside the pictures or in
    ``Anno/``, a note says of how many held-out pictures that is true.

    The demo source are 999 pictures, ``000001.jpg`` to ``000999.jpg``; the last hundred are held out. Their carrier
    does not tell whom they show.
    """

    name = "celeba"
    licence = "CelebA: for non-commercial research only; its pictures may not be redistributed or published as a set"
    demo_licence = "999 pictures of CelebA: non-commercial research only, not to be redistributed (CelebA's terms)"
    options: ClassVar = {"split": one_of("paper", "official")}
    published_duplicates = True  # nobody says that it has none

    def demo(self) -> Listing:
        """Return the 999 pictures of the carrier, cropped."""
        listing = Listing(notes=["demo: 999 pictures of CelebA, centre crops of 160 x 160", f"{_BY_NUMBER}: unknown"])
        for member in carrier_members("celeba_faces", "*.jpg"):
            split: Split = "train" if int(member.path.stem) < _DEMO_HELD_OUT else "validation"
            source = PictureSource(member.path.stem, split, member.name, member.path, processing=FaceCrop())
            listing.pictures.append(source)
        return listing

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pictures of the folder; numbers of a complete set are missing if absent."""
        listing = Listing()
        folder = next((f for name in _FOLDERS if (f := find_folder(path, [name])) and picture_files(f)), None)
        if folder is None:
            listing.missing.append(f"folder img_align_celeba or crops_160 ({COUNT} pictures)")
            return listing
        present: dict[str, Path] = {}
        for file in picture_files(folder):
            if file.stem in present:
                listing.faults.append(f"{present[file.stem].name} and {file.name} have the same number; keep one")
            present[file.stem] = file
        called = folder.relative_to(path).as_posix()
        unknown = [present[name].name for name in present if not _is_number(name)]
        if unknown:
            listing.faults.append(
                f"{called}: files that are not part of the set ({abridged(unknown)}); expected 000001 to {COUNT}"
            )
        if lacking := COUNT - (len(present) - len(unknown)):
            names = (f"{number:06d}" for number in range(1, COUNT + 1) if f"{number:06d}" not in present)
            listing.missing.append(
                f"{called}: {lacking} of {COUNT} pictures ({abridged(list(itertools.islice(names, 9)), lacking)})"
            )
        official = self.option(wanted, "split") == "official"
        splits = _official_split(path, folder, listing) if official else {}
        for name in filter(_is_number, present):
            split = splits.get(name) if official else _paper_split(name)
            if split:
                origin = present[name].relative_to(path).as_posix()
                listing.pictures.append(PictureSource(name, split, origin, present[name], processing=FaceCrop()))
        if not official:
            listing.notes.append(f"{_BY_NUMBER}: {_persons_on_both_sides(path, folder, listing)}")
        listing.notes.append(f"split: {self.option(wanted, 'split')}; centre crops of 160 x 160 unless cropped already")
        return listing


def _is_number(name: str) -> bool:
    return len(name) == 6 and name.isascii() and name.isdigit() and 1 <= int(name) <= COUNT


def _paper_split(name: str) -> Split:
    return "train" if int(name) <= _PAPER_TRAINING else "validation"


def _official_split(path: Path, folder: Path, listing: Listing) -> dict[str, Split | None]:
    """Return the split of every picture in ``list_eval_partition.txt``; what is wrong with it goes to ``listing``."""
    file = _beside(path, folder, _PARTITIONS)
    if file is None:
        listing.faults.append("list_eval_partition.txt is not there; options.split: official needs it")
        return {}
    splits: dict[str, Split | None] = {}
    for number, line, name, part in _rows(file):
        if part in _PARTITION:
            splits[name] = _PARTITION[part]
        elif line.strip() and number > 1:  # the Kaggle copy has a headline
            listing.faults.append(f"{file.name}, line {number}: {line[:40]!r} is not a file name and 0, 1 or 2")
            break
    return splits


def _persons_on_both_sides(path: Path, folder: Path, listing: Listing) -> str:
    """Return how many held-out pictures show a person of a training picture, or why nobody knows."""
    file = _beside(path, folder, _IDENTITIES)
    if file is None:
        return f"unknown, {_IDENTITIES[0]} is not there"
    person = {name: who for _, _, name, who in _rows(file) if who}
    trained_on = {person.get(one.id) for one in listing.pictures if one.split == "train"} - {None}
    held_out = [person.get(one.id) for one in listing.pictures if one.split == "validation"]
    untold = f", {held_out.count(None)} are not in {file.name}" if None in held_out else ""
    return f"{sum(who in trained_on for who in held_out)} of {len(held_out)}{untold}"


def _beside(path: Path, folder: Path, names: Sequence[str]) -> Path | None:
    places = [*(path / name for name in names), folder.parent / names[0]]
    return next((place for place in places if place.is_file()), None)


def _rows(file: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield (number, line, file name without extension, what stands behind it) of every line."""
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        name, _, value = line.replace(",", " ").strip().partition(" ")
        yield number, line, Path(name).stem, value.strip()
