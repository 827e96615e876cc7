"""Pictures as raw uint8 in a few large files, written so that an interruption loses little, read by memory map.

Writing goes to a working folder: finished shards in ``prepared/``, and beside them in ``state/`` one record per
shard. A record is written after its shard, so what has a record is whole. Where a shard ends depends on the
pictures in it alone; a run that continues therefore makes the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError
from pipeline.feed.manifest import (
    FILE,
    Manifest,
    Picture,
    Role,
    Split,
    prepare_again,
    read_manifest,
    write_manifest,
)
from pipeline.files import read_json, write_json

SHARD_BYTES = 192 * 2**20  # a shard ends with the picture that reaches this, so it may be one picture larger
_VERIFIED_BYTES = 2**25  # of a picture that is verified when it is first read: SHA-256 takes 2 ms per MB at the most
_MAPPED_BYTES = 2**30  # read through the maps before they are made anew


@dataclass(frozen=True)
class Written:
    """A picture in a finished shard; ``fingerprint`` is of its source, ``note`` says how it was converted."""

    picture: Picture
    fingerprint: str
    note: str


class ShardWriter:
    """Writes pictures in a fixed order and continues after the last whole shard of an earlier, interrupted run.

    ``fingerprints`` has one text per picture that will be written, in order; it changes when the source does.
    Shards of the earlier run are kept as long as theirs are the same. ``written`` are the pictures in whole
    shards: the caller goes on with picture number ``len(writer.written)``.
    """

    def __init__(self, folder: Path, fingerprints: Sequence[str], shard_bytes: int = SHARD_BYTES) -> None:
        self._shards, self._state = folder / "prepared", folder / "state"
        self._folder, self._fingerprints, self._shard_bytes = folder, fingerprints, shard_bytes
        self._number = 0
        self.written: list[Written] = []
        self._resume()
        self._pending: list[Written] = []
        self._size = 0
        self._file: BinaryIO | None = None

    def _resume(self) -> None:
        while (record := self._read_record(self._number)) is not None:
            self.written += record
            self._number += 1
        records = {self._record(number) for number in range(self._number)}
        shards = {self._shards / self._name(number) for number in range(self._number)}
        for path in {*self._state.glob("*"), *self._shards.glob("*")} - records - shards:
            path.unlink()

    def _read_record(self, number: int) -> list[Written] | None:
        """Return what shard ``number`` holds, or None if it is not whole or the source has changed."""
        try:
            content = read_json(self._record(number))
            if content["shard_bytes"] != self._shard_bytes:
                return None
            record = [Written(Picture(**e["picture"]), e["fingerprint"], e["note"]) for e in content["written"]]
            size = (self._shards / self._name(number)).stat().st_size
        except (OSError, ValueError, TypeError, KeyError):
            return None
        first = len(self.written)
        same = [w.fingerprint for w in record] == list(self._fingerprints[first : first + len(record)])
        ended = size >= self._shard_bytes or first + len(record) == len(self._fingerprints)
        return record if same and ended and size == sum(w.picture.bytes for w in record) else None

    def _name(self, number: int) -> str:
        return f"shard-{number:05d}.bin"

    def _record(self, number: int) -> Path:
        return self._state / f"shard-{number:05d}.json"

    def add(self, pixels: NDArray[np.uint8], note: str, **source: Any) -> None:
        """Append the next picture, ``(H, W, 3)`` uint8; ``source`` are id, split, source, role, label."""
        raw = np.ascontiguousarray(pixels).tobytes()
        if self._file is None:
            self._shards.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("wb")
        height, width = pixels.shape[:2]
        digest = hashlib.sha256(raw).hexdigest()
        picture = Picture(
            **source, height=height, width=width, sha256=digest, shard=self._name(self._number), offset=self._size
        )
        self._file.write(raw)
        self._size += len(raw)
        index = len(self.written) + len(self._pending)
        self._pending.append(Written(picture, self._fingerprints[index], note))
        if self._size >= self._shard_bytes:
            self._finish_shard()

    @property
    def _temporary(self) -> Path:
        return self._folder / "shard.partial"

    def _finish_shard(self) -> None:
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._shards / self._name(self._number))
        entries = [
            {"picture": w.picture.as_json(), "fingerprint": w.fingerprint, "note": w.note} for w in self._pending
        ]
        write_json(self._record(self._number), {"shard_bytes": self._shard_bytes, "written": entries})
        self.written += self._pending
        self._file, self._pending, self._size, self._number = None, [], 0, self._number + 1

    def close(self) -> None:
        """Drop the shard under way, if any; whole shards stay for the next run."""
        if self._file is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def finish(self) -> list[Written]:
        """End the last shard; return all pictures in order."""
        self._finish_shard()
        return self.written

    def publish(self, manifest: Manifest, target: Path) -> Path:
        """Put the finished shards and their manifest at ``target``; return the manifest's path.

        ``target`` appears whole, by one renaming; what was there before is removed.
        """
        write_manifest(self._shards / FILE, manifest)
        if target.exists():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._shards.replace(target)
        shutil.rmtree(self._folder)
        return target / FILE


class Pictures:
    """The pictures of one split of a prepared data set; pixels are read from disk only where they are asked for.

    DataError if the manifest or a shard is missing or damaged, or if the split has no picture. A picture's bytes are
    compared with the manifest's hash when it is first read, once per process, unless there are more than 32 MiB of
    them: then a crop touches its own rows alone, and ``steadyflow verify`` compares the whole.
    """

    def __init__(self, manifest_path: Path | str, split: Split, role: Role = "target") -> None:
        self._folder = Path(manifest_path).parent
        self._task = self._folder.name
        self._pictures = read_manifest(Path(manifest_path)).of(split, role)
        self._maps: dict[str, mmap.mmap] = {}
        self._verified: set[int] = set()  # numbers of pictures
        self._read = 0  # bytes, since the maps were made
        if not self._pictures:
            raise DataError(f"{manifest_path} holds no picture of split '{split}', role '{role}'")
        self._check_sizes()

    def _check_sizes(self) -> None:
        needed: dict[str, int] = {}
        for picture in self._pictures:
            needed[picture.shard] = max(needed.get(picture.shard, 0), picture.offset + picture.bytes)
        for shard, size in needed.items():
            path = self._folder / shard
            if not path.is_file():
                raise DataError(f"{path} is missing; {prepare_again(self._task)}")
            if path.stat().st_size < size:
                raise DataError(
                    f"{path} has {path.stat().st_size} bytes, {size} are needed: it is damaged; "
                    f"{prepare_again(self._task)}"
                )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps out: pickled, they would carry all pixels to every worker."""
        return {**vars(self), "_maps": {}, "_read": 0}

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def ids(self) -> list[str]:
        """The pictures' names, in order."""
        return [picture.id for picture in self._pictures]

    @property
    def labels(self) -> list[int | None]:
        """The pictures' class numbers, in order; None where the data set has no classes."""
        return [picture.label for picture in self._pictures]

    def shape(self, index: int) -> tuple[int, int]:
        """Return (height, width) of a picture, in pixels."""
        picture = self._pictures[index]
        return picture.height, picture.width

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return a picture as a read-only view ``(H, W, 3)`` of the shard; DataError if its bytes have changed."""
        picture = self._pictures[index]
        if index not in self._verified and picture.bytes <= _VERIFIED_BYTES:
            self.verify(index)
        return self._bytes(picture).reshape(picture.height, picture.width, 3)

    def verify(self, index: int) -> None:
        """Raise DataError unless the bytes of a picture are those that were written."""
        picture = self._pictures[index]
        if hashlib.sha256(self._bytes(picture).data).hexdigest() != picture.sha256:
            raise DataError(
                f"{self._folder / picture.shard}: the bytes of picture '{picture.id}' are not those that were written "
                f"(SHA-256 differs): it is damaged; {prepare_again(self._task)}"
            )
        self._verified.add(index)
        self._read += picture.bytes

    def _bytes(self, picture: Picture) -> NDArray[np.uint8]:
        return np.frombuffer(self._map(picture.shard), np.uint8, picture.bytes, picture.offset)

    def crop(self, index: int, top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
        """Return a copy ``(height, width, 3)``; ValueError if it would leave the picture."""
        picture = self._pictures[index]
        if min(top, left) < 0 or top + height > picture.height or left + width > picture.width:
            raise ValueError(
                f"crop {height} x {width} at ({top}, {left}) leaves picture '{picture.id}' "
                f"of {picture.height} x {picture.width}"
            )
        self._announce(picture, top, left, height, width)
        return self.picture(index)[top : top + height, left : left + width].copy()

    def _announce(self, picture: Picture, top: int, left: int, height: int, width: int) -> None:
        """Have the system fetch the rows of a crop in one go; one page fault after the other is much slower."""
        row = picture.width * 3
        first = picture.offset + top * row + left * 3
        start = first - first % mmap.PAGESIZE
        length = first + (height - 1) * row + width * 3 - start
        self._read += length
        if self._read > _MAPPED_BYTES:
            # What was read stays in the system's cache; without this it would also count as this process's memory.
            self._maps.clear()
            self._read = length
        if hasattr(mmap, "MADV_WILLNEED"):  # not on Windows
            self._map(picture.shard).madvise(mmap.MADV_WILLNEED, start, length)

    def _map(self, shard: str) -> mmap.mmap:
        if shard not in self._maps:
            with (self._folder / shard).open("rb") as file:
                self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[shard]
