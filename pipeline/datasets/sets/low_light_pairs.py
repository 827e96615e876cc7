"""Low-light pictures and their well-lit partners, matched by number and never by the order of a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.datasets.contract import Listing, PictureSource, Pixels
from pipeline.datasets.photographs import PACKAGED_LICENCE, carrier_members, packaged_photographs
from pipeline.feed.darkening import darken
from pipeline.feed.manifest import Role, Split
from pipeline.pictures.folders import abridged, find_folder, picture_files, safe_id

SYNTHETIC_LICENCE = (
    f"{PACKAGED_LICENCE}; ImageNet pictures that foolbox carries: for research (ImageNet's terms). "
    "The dark sides are synthetic: made by pipeline/feed/darkening.py"
)
_SIDE = re.compile(r"^(low|normal|high)[_-]?(?=.)", re.IGNORECASE)
_DEMO_HELD_OUT = 15  # ImageNet pictures of the demo from this place on are validation


class PairFolder(NamedTuple):
    """One split of a set of pairs: ``prefix`` of its ids, how many pairs it has, the names of its two folders."""

    prefix: str
    split: Split
    size: int
    low: tuple[str, ...]
    normal: tuple[str, ...]


def paired(path: Path, part: PairFolder) -> Listing:
    """Return the pairs of ``part`` below ``path``; a picture without a partner is missing the other one."""
    listing = Listing()
    sides: dict[Role, dict[str, Path]] = {}
    sought: list[tuple[Role, tuple[str, ...]]] = [("input", part.low), ("target", part.normal)]
    for role, names in sought:
        folder = find_folder(path, names)
        if folder is None:
            listing.missing.append(f"folder {names[0]} ({part.size} pictures)")
        else:
            sides[role] = _by_number(path, folder, listing)
    if len(sides) < 2:
        return listing
    for (role, _), (other, names) in zip(sought, reversed(sought), strict=True):
        lonely = [file.name for key, file in sides[role].items() if key not in sides[other]]
        if lonely:
            listing.missing.append(f"{names[0]}: no partner of {abridged(lonely)}")
    keys = [key for key in sides["target"] if key in sides["input"]]
    if len(keys) < part.size:
        listing.missing.append(f"{part.prefix}: {part.size - len(keys)} of {part.size} pairs")
    if len(keys) > part.size:
        listing.faults.append(
            f"{part.prefix}: {len(keys)} pairs, but the published set has {part.size}; remove what was added"
        )
    for key in keys:
        name = f"{part.prefix}-{safe_id(_SIDE.sub('', sides['target'][key].stem))}"
        for role, side in reversed(sides.items()):
            file = side[key]
            origin = file.relative_to(path).as_posix()
            listing.pictures.append(PictureSource(name, part.split, origin, file, role))
    return listing


def _by_number(path: Path, folder: Path, listing: Listing) -> dict[str, Path]:
    """Return the pictures of one side by what their names share: the number, or the name without low/normal."""
    found: dict[str, Path] = {}
    for file in picture_files(folder):
        rest = _SIDE.sub("", file.stem)
        key = str(int(rest)) if rest.isascii() and rest.isdigit() else rest
        if key in found:
            where = folder.relative_to(path).as_posix()
            listing.faults.append(f"{where}: {abridged([found[key].name, file.name])} have the same number; keep one")
        found[key] = file
    return found


@dataclass(frozen=True)
class Darkened:
    """The synthetic low-light side of a photograph; ``name`` fixes what is drawn."""

    name: str

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the darkened picture, ``(H, W, 3)`` uint8 as ``pixels``."""
        return darken(pixels, self.name)


def synthetic_pairs(data_set: str, title: str) -> Listing:
    """Return real photographs, each with a synthetic low-light input; data sets get different exposures.

    The photographs are those inside scikit-image and scikit-learn and twenty of ImageNet.
    """
    photographs = packaged_photographs()
    pictures = list(photographs.pictures)
    for member in carrier_members("imagenet_and_cifar", "imagenet_*.jpg"):
        split: Split = "train" if member.place < _DEMO_HELD_OUT else "validation"
        pictures.append(PictureSource(member.path.stem, split, member.name, member.path))
    note = f"demo: synthetic low-light pairs, real photographs darkened by a model of exposure and noise; not {title}"
    listing = Listing(faults=photographs.faults, notes=[note])
    for picture in pictures:
        name, darkened = f"synthetic-{picture.id}", Darkened(f"{data_set} {picture.id}")
        dark = f"{picture.origin}, synthetic low light"
        listing.pictures.extend(
            [
                PictureSource(name, picture.split, picture.origin, picture.content),
                PictureSource(name, picture.split, dark, picture.content, "input", processing=darkened),
            ]
        )
    return listing


def all_paired(path: Path, parts: Sequence[PairFolder]) -> Listing:
    """Return the pairs of several parts, one after the other."""
    listing = Listing()
    for part in parts:
        listing.add(paired(path, part))
    return listing
