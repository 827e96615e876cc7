"""A user's reference pictures and, by equal names, the degraded ones that belong to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import DataError
from pipeline.feed.equalization import equalize
from pipeline.inference.held_out import Crop, spread
from pipeline.kinds.contract import Kind
from pipeline.pictures.decode import Unreadable, decode
from pipeline.pictures.folders import EXTENSIONS, abridged, picture_files, safe_id, shown

_LIT = re.compile(r"^(normal|high)(?=.)", re.IGNORECASE)


class _Pair(NamedTuple):
    name: str
    reference: Path
    degraded: Path | None


@dataclass(frozen=True)
class ReferencePairs:
    """Pictures as ``restore_crops`` takes them: a name and its sides ``(H, W, 3)`` uint8, the reference first.

    They are read when they are asked for; a folder of large photographs does not fit into memory.
    """

    pairs: Sequence[_Pair]
    kind: Kind
    scale: int

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Crop]:
        for pair in self.pairs:
            try:
                yield self.crop(pair)
            except Unreadable as reason:
                raise DataError(f"{shown(pair.reference)}: {reason}") from None

    def crop(self, pair: _Pair) -> Crop:
        """Return one picture's name and sides. Raises Unreadable, also for sizes that do not belong together.

        A reference whose sides are no multiples of the scale loses up to ``scale - 1`` rows below and columns at
        the right, as is usual before a picture is shrunk.
        """
        reference = decode(pair.reference).pixels
        height, width = (side // self.scale for side in reference.shape[:2])
        if not (height and width):
            raise Unreadable(f"{_size(reference.shape)} is smaller than the scale {self.scale}")
        sides = [reference[: height * self.scale, : width * self.scale]]
        if pair.degraded:
            try:
                degraded = decode(pair.degraded).pixels
            except Unreadable as reason:
                raise Unreadable(f"its input {shown(pair.degraded.name)}: {reason}") from None
            if degraded.shape[:2] != (height, width):
                raise Unreadable(
                    f"{_size(reference.shape)} needs an input of {height} x {width} (scale {self.scale}), but "
                    f"{shown(pair.degraded.name)} is {_size(degraded.shape)}"
                )
            sides += [degraded, equalize(degraded)] if self.kind.equalized else [degraded]
        return pair.name, tuple(sides)


def reference_pairs(
    reference: Path,
    degraded: Path | None,
    kind: Kind,
    scale: int,
    option: str = "--reference",
    most: int | None = None,
) -> ReferencePairs:
    """Return the pictures of ``reference``, a file or a folder, with those of ``degraded`` that belong to them.

    Without ``degraded`` the input is made by bicubic, which only super-resolution can. Partners have equal names;
    ``x4`` behind the name of an input (DIV2K) and ``low`` instead of ``normal`` or ``high`` (LOL-v2) are equal too,
    and two files are a pair whatever their names. Every picture is looked at before the first one is restored:
    DataError tells all that is wrong with them. ``option``: what the user gave ``reference`` by. ``most``: of more
    pictures than these, evenly spread ones are taken, and the others are not looked at.
    """
    if degraded is None and scale == 1:
        raise DataError("a low-light picture cannot be made from its reference; give the dark pictures with --input")
    targets = named_pictures(reference, option)
    inputs = named_pictures(degraded, "--input") if degraded else {}
    if degraded and reference.is_file() and degraded.is_file():
        inputs = dict(zip(targets, inputs.values(), strict=True))
    partners = {stem: _partner(stem, inputs, scale) for stem in targets} if degraded else dict.fromkeys(targets)
    if degraded:
        _refuse_lonely(targets, inputs, partners, degraded, option)
    pairs = spread([_Pair(safe_id(stem), file, partners[stem]) for stem, file in targets.items()], most)
    found = ReferencePairs(pairs, kind, scale)
    faults = [fault for pair in pairs if (fault := _fault(found, pair))]
    if faults:
        raise DataError(f"{len(faults)} of {len(pairs)} pictures cannot be used: {abridged(faults)}")
    return found


def named_pictures(place: Path, option: str) -> dict[str, Path]:
    """Return the pictures of a folder, or the one file, by name without suffix.

    DataError, which names ``option``, for a place that is not there, holds no picture, or two of one name.
    """
    if place.is_file():
        return {place.stem: place}
    if not place.is_dir():
        raise DataError(f"{option} {place} does not exist; give a folder of pictures, or one picture")
    found: dict[str, Path] = {}
    try:
        files = picture_files(place)
    except OSError as error:
        raise DataError(f"{option} {place} cannot be read: {error.strerror}") from None
    for file in files:
        if file.stem in found:
            raise DataError(f"{option} {place}: {abridged([found[file.stem].name, file.name])} share a name; keep one")
        found[file.stem] = file
    if not found:
        raise DataError(f"{option} {place} holds no pictures ({', '.join(EXTENSIONS)}); folders in it are not searched")
    return found


def _partner(stem: str, inputs: dict[str, Path], scale: int) -> Path | None:
    names = (stem, f"{stem}x{scale}", _LIT.sub("low", stem), _LIT.sub("Low", stem))
    return next((inputs[name] for name in names if name in inputs), None)


def _refuse_lonely(
    targets: dict[str, Path], inputs: dict[str, Path], partners: dict[str, Path | None], degraded: Path, option: str
) -> None:
    alone = [file.name for stem, file in targets.items() if partners[stem] is None]
    if alone:
        raise DataError(f"--input {degraded} has no partner of {abridged(alone)}; partners have equal names")
    unused = [file.name for file in inputs.values() if file not in partners.values()]
    if unused:
        raise DataError(f"{option} has no partner of {abridged(unused)} in {degraded}; partners have equal names")


def _fault(pairs: ReferencePairs, pair: _Pair) -> str:
    try:
        pairs.crop(pair)
    except Unreadable as reason:
        return f"{shown(pair.reference.name)}: {reason}"
    return ""


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]}"
