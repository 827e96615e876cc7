"""From a source of pictures to a manifest and shards: check everything, tell every fault at once, store."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import Params
from pipeline.console import say, warn
from pipeline.datasets.check import Examined, Seen, Source, examine, faults_message, source_of
from pipeline.datasets.contract import DEMO, Listing, PictureSource
from pipeline.errors import DataError
from pipeline.feed.manifest import Manifest, Picture
from pipeline.feed.shards import SHARD_BYTES, ShardWriter, Written
from pipeline.layout import prepared_folder
from pipeline.pictures.decode import Decoded
from pipeline.pictures.folders import shown


def prepare(task: str, params: Params, root: Path, shard_bytes: int = SHARD_BYTES) -> Path:
    """Store the pictures of ``task`` as params.yaml says; as ``prepare_source``.

    ConfigError names an unknown task, data set or option.
    """
    return prepare_source(task, source_of(task, params), root, shard_bytes)


def prepare_source(task: str, source: Source, root: Path, shard_bytes: int = SHARD_BYTES) -> Path:
    """Store the pictures of ``source`` under ``root/data/prepared/<task>``; return the manifest's path.

    An interrupted call continues after its last whole shard; ``shard_bytes`` is where a shard ends. Nothing is
    visible at the final place before all of it is there.

    DataError lists all faults of the source.
    """
    listing = source.listing(root)
    writer = ShardWriter(_working_folder(root, task), _fingerprints(listing.pictures), shard_bytes)

    def keep(picture: PictureSource, decoded: Decoded) -> None:
        fields = {"id": picture.id, "split": picture.split, "role": picture.role, "label": picture.label}
        writer.add(decoded.pixels, decoded.note, source=picture.origin, **fields)

    try:
        stored = zip(listing.pictures, [w.picture for w in writer.written], strict=False)
        done = [Seen(picture, kept.height, kept.width, kept.sha256) for picture, kept in stored]
        found = examine(source, listing, f"prepare {task}", done, keep)
        if found.faults:
            raise DataError(faults_message(found.faults, source.key))
        manifest = _manifest(task, source, listing, found, writer.finish())
        path = writer.publish(manifest, prepared_folder(root, task))
    finally:
        writer.close()
    _summarise(manifest, found)
    return path


def _working_folder(root: Path, task: str) -> Path:
    # Beside the final folder, so that publishing is a renaming also where data/ is a link to another disk.
    return prepared_folder(root, task).with_name(f".{task}.partial")


def _fingerprints(pictures: Sequence[PictureSource]) -> list[str]:
    """Return one text per picture that changes when its place or its file does (size and time, as make does)."""
    texts = []
    for picture in pictures:
        if isinstance(picture.content, Path):
            try:
                status = picture.content.stat()
                state = f"{status.st_size}:{status.st_mtime_ns}"
            except OSError:
                state = "missing"
        else:  # bytes, or an array of them
            raw = picture.content if isinstance(picture.content, bytes) else picture.content.tobytes()
            state = hashlib.sha256(raw).hexdigest()
        place = f"{picture.role}:{picture.split}:{picture.id}:{picture.label}:{picture.origin}"
        texts.append(f"{place}:{picture.processing!r}:{state}")
    return texts


def _manifest(task: str, source: Source, listing: Listing, found: Examined, written: Sequence[Written]) -> Manifest:
    conversions = Counter(w.note for w in written if w.note)
    notes = [*listing.notes, *(f"left out: {what}" for what in listing.missing), *found.warnings]
    notes += [f"{count} converted: {note}" for note, count in sorted(conversions.items())]
    demo = source.settings.source == DEMO
    licence = source.data_set.demo_licence if demo else source.data_set.licence
    return Manifest(task, source.data_set.name, demo, licence, notes, [w.picture for w in written])


def _summarise(manifest: Manifest, found: Examined) -> None:
    def count(pictures: list[Picture]) -> str:
        return f"{len(pictures)} pictures, {sum(p.height * p.width for p in pictures) / 1e6:.1f} megapixels"

    say(f"{manifest.task}: training {count(manifest.of('train'))}; validation {count(manifest.of('validation'))}")
    for note in manifest.notes:
        if note not in found.warnings:
            say(f"  {shown(note)}")
    say(f"  terms: {manifest.licence}")
    for warning in found.warnings:
        warn(f"{manifest.dataset}: {warning}")
