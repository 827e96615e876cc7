"""The manifest of a prepared data set: which pictures there are, and in which shard each one lies."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import DataError, brief, printable
from pipeline.files import read_json, write_json

FORMAT = 1
_LONGEST = 300  # characters of a fault
LONGEST_ID = 200  # characters; files are called after it
SAFE_ID = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{LONGEST_ID - 1}}}")
FILE = "manifest.json"
Split = Literal["train", "validation"]
Role = Literal["target", "input"]


@dataclass(frozen=True)
class Picture:
    """One prepared picture: ``height * width * 3`` bytes at ``offset`` of ``shard``, ``(H, W, 3)`` uint8, C order.

    ``id`` is unique within a role; the two pictures of a pair (low light, normal light) share it. ``source``
    says where the picture came from, relative to the source. ``sha256`` is of the raw RGB bytes.
    """

    id: str
    split: Split
    source: str
    height: int
    width: int
    sha256: str
    shard: str
    offset: int
    role: Role = "target"
    label: int | None = None

    @property
    def bytes(self) -> int:
        """Size in the shard."""
        return self.height * self.width * 3

    def as_json(self) -> dict[str, Any]:
        """Return the entry of the manifest; what has its default value is left out."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


_HEAD: dict[str, type] = {"task": str, "dataset": str, "demo": bool, "licence": str, "notes": list}
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("id", "split", "source", "sha256", "shard", "role"), str),
    **dict.fromkeys(("height", "width", "offset"), int),
    "label": (int, type(None)),
}


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` holds."""

    task: str
    dataset: str
    demo: bool
    licence: str
    notes: list[str]
    pictures: list[Picture]

    def of(self, split: Split, role: Role = "target") -> list[Picture]:
        """Return the pictures of one split and role, in the order of the manifest."""
        return [picture for picture in self.pictures if (picture.split, picture.role) == (split, role)]


def write_manifest(path: Path, manifest: Manifest) -> Path:
    """Write ``manifest`` atomically; the same manifest gives the same bytes."""
    content = {key: value for key, value in vars(manifest).items() if key != "pictures"}
    pictures = [picture.as_json() for picture in manifest.pictures]
    return write_json(path, {"format": FORMAT, **content, "pictures": pictures})


def read_manifest(path: Path) -> Manifest:
    """Return the manifest at ``path``; DataError if it is missing, damaged or of another format."""
    task = path.parent.name
    try:
        content = read_json(path)
        version = content.pop("format")
        if version != FORMAT:
            raise DataError(f"{path} has format {brief(version)}, this version reads {FORMAT}; {prepare_again(task)}")
        pictures = [_picture(entry) for entry in content.pop("pictures")]
        manifest = Manifest(**content, pictures=pictures)
        for field, kind in _HEAD.items():
            if not isinstance(getattr(manifest, field), kind):
                raise ValueError(f"{field} is {brief(getattr(manifest, field))}")
        if not pictures:
            raise ValueError("it lists no pictures")
        if twice := [key for key, count in Counter((one.role, one.id) for one in pictures).items() if count > 1]:
            raise ValueError(f"two pictures have role and id {twice[0]}")
        return manifest
    except FileNotFoundError:
        raise DataError(f"{path} is missing: the pictures are not prepared; {prepare_again(task)}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({printable(str(error))[:_LONGEST]}); {prepare_again(task)}") from None


def _picture(entry: dict[str, Any]) -> Picture:
    picture = Picture(**entry)
    for field, kinds in _TYPES.items():
        value = getattr(picture, field)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{field} of a picture is {brief(value)}")
    # Folders of samples are called after the id, so it must be a plain name in them.
    if not SAFE_ID.fullmatch(picture.id):
        raise ValueError(
            f"the id {brief(picture.id)} of a picture is no plain name: letters, digits, '_', '-' and '.', at most "
            f"{LONGEST_ID}, none of the latter two in front"
        )
    # The shard's name is joined to a folder: it must not lead out of it.
    if Path(picture.shard).name != picture.shard or picture.shard in ("", ".", ".."):
        raise ValueError(f"shard {brief(picture.shard)} of picture '{picture.id}' is not a file name")
    if picture.split not in get_args(Split) or picture.role not in get_args(Role):
        raise ValueError(f"picture '{picture.id}' has split {brief(picture.split)} and role {brief(picture.role)}")
    if min(picture.height, picture.width) < 1 or picture.offset < 0:
        raise ValueError(f"picture '{picture.id}' has an impossible size or offset")
    return picture


def prepare_again(task: str) -> str:
    """Return the words that tell how to make the prepared pictures of ``task`` anew."""
    return f"make it again with: dvc repro -f prepare@{task}"
