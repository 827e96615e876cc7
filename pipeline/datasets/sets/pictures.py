"""Pictures of the user's own, under any names: alone for super-resolution, in pairs for low light."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

from pipeline.datasets.contract import DataSet, Listing, Option, PictureSource, Wanted
from pipeline.datasets.photographs import packaged_photographs
from pipeline.datasets.sets.low_light_pairs import SYNTHETIC_LICENCE, synthetic_pairs
from pipeline.datasets.sets.picture_folders import files_below
from pipeline.errors import brief
from pipeline.feed.manifest import Role, Split
from pipeline.pictures.folders import EXTENSIONS, abridged, find_folder, safe_id, shown

# The two sides of pairs and the names that their folders may have, in any letter case.
_SIDES: tuple[tuple[Role, tuple[str, ...]], ...] = (("input", ("low",)), ("target", ("high", "normal")))
_LAYOUT = "pairs are two pictures of equal names, the dark one below low/, the other below high/ or normal/"


class _Found(NamedTuple):
    """A picture, or a pair: its name below the folder without the extension, what its id is made of, its files."""

    name: str
    identity: str
    files: dict[Role, Path]


class Pictures(DataSet):
    """Any pictures: a folder for training and held-out ones of the same kind.

    The folder, for super-resolution: pictures under any names, in subfolders of any depth. For low light, pairs of
    equal names (extensions may differ), again in subfolders of any depth::

        low/evening/street 1.jpg      high/evening/street 1.png      (or normal/evening/street 1.png)

    Option ``validation``: a second folder of the same layout, from which the held-out pictures come (relative to
    params.yaml; it may lie inside the first, and is then left out of training), or a share of the pictures,
    above 0 and below 1. Of a share, each picture is decided by its own name: held out if the SHA-256 of the name
    below the folder, without the extension, ``/`` between the parts, begins with 8 bytes that make a smaller
    fraction of 2^64 than the share. So a picture keeps its side when others come or go. Where a share holds out
    none, the picture with the smallest fraction is held out.

    Pictures of one scene may come on both sides of a share: where that matters, give a second folder. The demo
    source are photographs inside scikit-image and scikit-learn; for low light, darkened by a model.
    """

    name = "pictures"
    licence = "pictures of your own: whoever owns them says what may be done with them"
    demo_licence = f"photographs; for low light also: {SYNTHETIC_LICENCE}"

    def demo(self) -> Listing:
        """Return the photographs inside the installed scikit-image and scikit-learn; nothing is downloaded."""
        listing = packaged_photographs()
        listing.notes.append("demo: photographs inside scikit-image and scikit-learn")
        return listing

    def demo_pairs(self) -> Listing:
        """Return synthetic pairs made from real photographs."""
        return synthetic_pairs(self.name, "photographs taken in low light")

    @staticmethod
    def _wrong_validation(value: str) -> str:
        share = _number(value)
        if (share is None and value.strip()) or (share is not None and 0 < share < 1):
            return ""
        return "give a share above 0 and below 1, such as 0.1, or a folder (./10 for one whose name is a number)"

    options: ClassVar = {"validation": Option("0.1", _wrong_validation, ("0.1", "/path/to/held_out"))}

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return the pictures, or with ``wanted.paired`` the pairs, each on its side of the split."""
        listing = Listing()
        chosen = self.option(wanted, "validation")
        share = _number(chosen)
        if share is not None:
            found = _found(path, wanted.paired, "", listing)
            held_out = _held_out([one.name for one in found], share)
            for one in found:
                _add(listing, one, "validation" if one.name in held_out else "train", path, "")
            listing.notes.append(f"split: {chosen} of the pictures are held out, by a hash of their names")
            return listing
        second = wanted.root / Path(chosen).expanduser()
        if not second.is_dir():
            listing.faults.append(
                f"datasets.{self.name}.options.validation in params.yaml is {brief(chosen)}, and there is no such "
                "folder; give a folder, or a share such as 0.1"
            )
            return listing
        called = f"{second.resolve().name}/"
        for one in _found(path, wanted.paired, "", listing):
            if not any(file.resolve().is_relative_to(second.resolve()) for file in one.files.values()):
                _add(listing, one, "train", path, "")
        for one in _found(second, wanted.paired, called, listing):
            _add(listing, one, "validation", second, called)
        listing.notes.append(f"split: the pictures of a second folder, {shown(called)}, are held out")
        return listing


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _fraction(name: str) -> float:
    """Return a number in [0, 1) that depends on ``name`` alone."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _held_out(names: list[str], share: float) -> set[str]:
    if not names:
        return set()
    return {name for name in names if _fraction(name) < share} or {min(names, key=_fraction)}


def _add(listing: Listing, one: _Found, split: Split, below: Path, called: str) -> None:
    # With the split in front: the second folder may have the first one's names.
    identity = f"{split}-{safe_id(one.identity)}"
    for role, file in sorted(one.files.items(), reverse=True):  # the target first
        origin = f"{called}{file.relative_to(below).as_posix()}"
        listing.pictures.append(PictureSource(identity, split, origin, file, role))


def _found(path: Path, paired: bool, called: str, listing: Listing) -> list[_Found]:
    """Return the pictures or pairs below ``path``; what is wrong goes to ``listing``, each place after ``called``."""
    found = list(_pairs(path, called, listing) if paired else _alone(path, called, listing))
    if not found and not listing.faults:  # else it is said already
        where = shown(called) or "the folder"
        listing.faults.append(f"{where}: no {'pair' if paired else 'picture'} in it ({', '.join(EXTENSIONS)})")
    return found


def _alone(path: Path, called: str, listing: Listing) -> Iterator[_Found]:
    for name, file in files_below(path, called, listing):
        yield _Found(_without_extension(name), name, {"target": file})


def _pairs(path: Path, called: str, listing: Listing) -> Iterator[_Found]:
    sides: dict[Role, dict[str, Path]] = {}
    for role, names in _SIDES:
        folder = find_folder(path, names)
        if folder is None:
            listing.faults.append(f"no folder {shown(called)}{f' or {shown(called)}'.join(names)}; {_LAYOUT}")
            continue
        side = sides[role] = {}
        where = f"{called}{folder.name}/"
        for name, file in files_below(folder, where, listing):
            other = side.setdefault(_without_extension(name), file)
            if other is not file:
                listing.faults.append(
                    f"{shown(where)}: {abridged([other.name, file.name])} differ in the extension alone; keep one"
                )
    if len(sides) < len(_SIDES):
        return
    for (role, _), (other_role, names) in zip(_SIDES, reversed(_SIDES), strict=True):
        lonely = [name for name in sides[role] if name not in sides[other_role]]
        if lonely:
            listing.missing.append(f"{shown(called)}{names[0]}: no partner of {abridged(lonely)}")
    for name, file in sides["target"].items():
        if name in sides["input"]:
            yield _Found(name, name, {"target": file, "input": sides["input"][name]})


def _without_extension(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
