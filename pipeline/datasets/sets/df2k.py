"""DF2K: the photographs of DIV2K and Flickr2K together, for super-resolution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from pipeline.datasets.contract import DataSet, Listing, PictureSource, Wanted, one_of
from pipeline.datasets.photographs import PACKAGED_LICENCE, packaged_photographs
from pipeline.feed.manifest import Role, Split
from pipeline.pictures.decode import Unreadable
from pipeline.pictures.folders import abridged, find_folder, picture_files
from pipeline.safe_pickle import read_pickle

_ABOVE = ("", "{set}/")  # the folders themselves, or one level deeper


class _Part(NamedTuple):
    """One numbered run of pictures and the names that its folders have in the wild."""

    prefix: str
    split: Split
    size: int
    digits: int
    first: int
    above: str
    targets: tuple[str, ...]
    inputs: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return [f"{number:0{self.digits}d}" for number in range(self.first, self.first + self.size)]


_PARTS = (
    _Part(
        "div2k", "train", 800, 4, 1, "DIV2K",
        ("DIV2K_train_HR", "DIV2K-tr_1X", "DIV2K-tr", "DF2K-tr"),
        ("DIV2K_train_LR_bicubic/X{s}", "DIV2K_train_LR_x{s}", "DIV2K-tr_{s}X", "DF2K-tr_X{s}", "DF2K-tr_{s}X"),
    ),
    _Part(
        "flickr2k", "train", 2650, 6, 1, "Flickr2K",
        ("Flickr2K_HR", "DF2K-tr"), ("Flickr2K_LR_bicubic/X{s}", "DF2K-tr_X{s}", "DF2K-tr_{s}X"),
    ),
    _Part(
        "div2k", "validation", 100, 4, 801, "DIV2K",
        ("DIV2K_valid_HR", "DIV2K-va_1X", "DIV2K-va", "div2k-validation-modcrop8-gt"),
        ("DIV2K_valid_LR_bicubic/X{s}", "DIV2K_valid_LR_x{s}", "DIV2K-va_{s}X", "div2k-validation-modcrop8-x{s}"),
    ),
)  # fmt: skip

# File of pictures in the published archive, split, number of pictures in it.
_LISTS: tuple[tuple[str, Split, int], ...] = (("DF2K-tr", "train", 3450 * 47), ("DIV2K-va", "validation", 100))
_LIST_FOLDERS = ("", "datasets", "pkls", "datasets/pkls")


class DF2K(DataSet):
    """DIV2K (Agustsson and Timofte, 2017) and Flickr2K (Lim et al., 2017): 3,450 for training, 100 held out.

    The folder, as the archives unpack (or each of the two one level deeper, in ``DIV2K/`` and ``Flickr2K/``)::

        DIV2K_train_HR/0001.png ... 0800.png       training      (also DIV2K-tr, DIV2K-tr_1X)
        Flickr2K_HR/000001.png ... 002650.png      training      (or both together in DF2K-tr)
        DIV2K_valid_HR/0801.png ... 0900.png       validation    (also DIV2K-va, DIV2K-va_1X)

    Low-resolution pictures are made from these, which gives the published ones up to rounding. With the option
    ``low_resolution: published`` those of the archives are taken, at the scale of the task::

        DIV2K_train_LR_bicubic/X4/0001x4.png       (8x: DIV2K_train_LR_x8/0001x8.png; DIV2K-tr_4X/0001.png)
        Flickr2K_LR_bicubic/X4/000001x4.png
        DIV2K_valid_LR_bicubic/X4/0801x4.png       (DIV2K-va_4X/0801.png)

    SRFlow's lists are read where a split has no folder, at the top or in ``datasets/`` or ``pkls/``::

        DF2K-tr.pklv4    DF2K-tr_X4.pklv4    DF2K-tr_X8.pklv4    47 crops of 160 x 160 from each picture
        DIV2K-va.pklv4   DIV2K-va_X4.pklv4   DIV2K-va_X8.pklv4   100 pictures

    They are pickles of a list of arrays (H, W, 3) uint8; nothing else in them is admitted (``pickles``).

    The demo source are colour photographs inside scikit-image and scikit-learn (``photographs``).
    """

    name = "df2k"
    licence = (
        "DIV2K: for academic research only, copyrights of the pictures stay with their owners. "
        "Flickr2K: pictures under the licences that their authors chose on Flickr; research use."
    )
    demo_licence = PACKAGED_LICENCE
    options: ClassVar = {"low_resolution": one_of("made", "published")}

    def demo(self) -> Listing:
        """Return the photographs inside the installed scikit-image and scikit-learn; nothing is downloaded."""
        listing = packaged_photographs()
        listing.notes.append("demo: photographs inside scikit-image and scikit-learn, not DF2K")
        return listing

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pictures of the folders, or of the lists; numbers of a complete set are missing if absent."""
        published = self.option(wanted, "low_resolution") == "published"
        scale = wanted.scale if published else None
        listing = Listing()
        for name, split, count in _LISTS:
            parts = [part for part in _PARTS if part.split == split]
            if _list_file(path, name) and not any(_folder_of(path, part.targets, part) for part in parts):
                listing.add(_listed(path, name, split, count, scale))
                continue
            for part in parts:
                listing.add(_numbered(path, part, scale))
        return listing


def _folder_of(path: Path, names: Sequence[str], part: _Part, scale: int | None = None) -> Path | None:
    return find_folder(
        path, [above.format(set=part.above) + name.format(s=scale) for name in names for above in _ABOVE]
    )


def _numbered(path: Path, part: _Part, scale: int | None) -> Listing:
    """Return the pictures of one run; with ``scale``, each with its published low-resolution picture."""
    listing = Listing()
    names = part.names
    files: dict[Role, dict[str, Path]] = {}
    roles: list[tuple[Role, tuple[str, ...]]] = [("target", part.targets)]
    roles += [("input", part.inputs)] if scale else []
    for role, folders in roles:
        folder = _folder_of(path, folders, part, scale)
        if folder is None:
            listing.missing.append(f"folder {folders[0].format(s=scale)} ({part.size} pictures)")
            return listing
        called = folder.relative_to(path).as_posix()
        suffix = f"x{scale}" if role == "input" else ""
        present = {file.stem.removesuffix(suffix): file for file in picture_files(folder, (".png",))}
        files[role] = {name: present[name] for name in names if name in present}
        lacking = [f"{name}{suffix}.png" for name in names if name not in present]
        if lacking:
            listing.missing.append(f"{called}: {len(lacking)} of {part.size} pictures ({abridged(lacking)})")
        sharing = (p for p in _PARTS if _folder_of(path, p.inputs if suffix else p.targets, p, scale) == folder)
        known = {stem for other in sharing for stem in other.names}
        unknown = sorted(present[name].name for name in set(present) - known)
        if unknown:
            listing.faults.append(
                f"{called}: files that are not part of the set ({abridged(unknown)}); "
                f"expected {names[0]}{suffix}.png to {names[-1]}{suffix}.png"
            )
    for name in names:
        if all(name in present for present in files.values()):
            for role, present in files.items():
                origin = present[name].relative_to(path).as_posix()
                source = PictureSource(f"{part.prefix}-{name}", part.split, origin, present[name], role)
                listing.pictures.append(source)
    return listing


def _listed(path: Path, name: str, split: Split, count: int, scale: int | None) -> Listing:
    """Return the pictures of one ``.pklv4`` list; with ``scale``, each with its published low-resolution picture."""
    listing = Listing()
    roles: list[tuple[Role, str]] = [("target", name)]
    roles += [("input", f"{name}_X{scale}")] if scale else []
    pictures: dict[Role, list[np.ndarray]] = {}
    for role, stem in roles:
        file = _list_file(path, stem)
        if file is None:
            listing.missing.append(f"{stem}.pklv4 ({count} pictures)")
            return listing
        try:
            pictures[role] = _arrays(file)
        except Unreadable as error:
            listing.faults.append(f"{file.relative_to(path)}: {error}")
            return listing
    found = {len(arrays) for arrays in pictures.values()}
    if len(found) > 1:
        sizes = " and ".join(f"{stem}.pklv4 {len(pictures[role])}" for role, stem in roles)
        listing.faults.append(f"lists of unequal length, so the pairs are unknown: {sizes} pictures")
        return listing
    if len(pictures["target"]) < count:
        listing.missing.append(f"{name}.pklv4: {count - len(pictures['target'])} of {count} pictures")
    for number in range(len(pictures["target"])):
        for role, stem in roles:
            origin = f"{stem}.pklv4[{number}]"
            listing.pictures.append(PictureSource(f"{name}-{number:06d}", split, origin, pictures[role][number], role))
    listing.notes.append(f"{split}: pictures of the published list {name}.pklv4")
    return listing


def _list_file(path: Path, stem: str) -> Path | None:
    files = (path / folder / f"{stem}.pklv4" for folder in _LIST_FOLDERS)
    return next((file for file in files if file.is_file()), None)


def _arrays(file: Path) -> list[np.ndarray]:
    content = read_pickle(file)
    if not isinstance(content, list) or not all(isinstance(item, np.ndarray) for item in content):
        raise Unreadable("not a list of arrays")
    return content
