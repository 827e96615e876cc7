"""From a source of pictures to a manifest and shards: check everything, tell every fault at once, store."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pipeline.config import Params
from pipeline.console import progress, say
from pipeline.datasets import DATASETS
from pipeline.datasets.contract import DEMO, DataSet, Listing, PictureSource
from pipeline.datasets.decode import Decoded, Unreadable, decode
from pipeline.datasets.manifest import Manifest, Picture, prepared_folder
from pipeline.datasets.shards import SHARD_BYTES, ShardWriter, Written
from pipeline.errors import ConfigError, DataError, nearest

_SHOWN = 40  # faults in one message
_SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # ids become names of folders


def prepare(task: str, params: Params, root: Path, shard_bytes: int = SHARD_BYTES) -> Path:
    """Store the pictures of ``task`` under ``root/data/prepared/<task>``; return the manifest's path.

    An interrupted call continues after its last whole shard; ``shard_bytes`` is where a shard ends. Nothing is
    visible at the final place before all of it is there.

    DataError lists all faults of the source; ConfigError names an unknown data set.
    """
    name = params.task(task).dataset
    if name not in DATASETS:
        raise ConfigError(f"params.yaml: tasks.{task}.dataset '{name}' does not exist; {nearest(name, DATASETS)}")
    data_set, source = DATASETS[name], params.dataset(task)
    listing = data_set.splits(source.source, root)
    faults = _listing_faults(data_set, listing, source.allow_partial)
    writer = ShardWriter(_working_folder(root, task), _fingerprints(listing.pictures), shard_bytes)
    try:
        faults += _store(listing.pictures, writer, params.settings(task).data.crop, f"prepare {task}", bool(faults))
        if faults:
            raise DataError(_all_of(faults, f"datasets.{name}.source '{source.source}'"))
        written = writer.finish()
        _refuse_shared_content(written)
        manifest = _manifest(task, data_set, listing, source.source == DEMO, written)
        path = writer.publish(manifest, prepared_folder(root, task))
    finally:
        writer.close()
    _summarise(manifest)
    return path


def _working_folder(root: Path, task: str) -> Path:
    # Beside the final folder, so that publishing is a renaming also where data/ is a link to another disk.
    return prepared_folder(root, task).with_name(f".{task}.partial")


def _listing_faults(data_set: DataSet, listing: Listing, allow_partial: bool) -> list[str]:
    """Return what can be said about a source before any picture is opened."""
    faults = list(listing.faults)
    if not allow_partial:
        hint = f"(to go on without: datasets.{data_set.name}.allow_partial: true)"
        faults += [f"missing: {what} {hint}" for what in listing.missing]
    for split in ("train", "validation"):
        if not any(picture.split == split for picture in listing.pictures):
            faults.append(f"no picture for {split}")
    names = Counter((picture.role, picture.id) for picture in listing.pictures)
    faults += [
        f"{count} pictures have the name '{name}' ({role})" for (role, name), count in names.items() if count > 1
    ]
    unsafe = [picture.origin for picture in listing.pictures if not _SAFE_ID.fullmatch(picture.id)]
    faults += [f"{origin!r}: rename it; only letters, digits, '-', '_' and '.' are allowed" for origin in unsafe]
    return faults


def _fingerprints(pictures: Sequence[PictureSource]) -> list[str]:
    """Return one text per picture that changes when its place or its file does (size and time, as make does)."""
    texts = []
    for picture in pictures:
        if isinstance(picture.content, bytes):
            state = hashlib.sha256(picture.content).hexdigest()
        else:
            try:
                status = picture.content.stat()
                state = f"{status.st_size}:{status.st_mtime_ns}"
            except OSError:
                state = "missing"
        texts.append(f"{picture.role}:{picture.split}:{picture.id}:{picture.label}:{picture.origin}:{state}")
    return texts


def _store(pictures: Sequence[PictureSource], writer: ShardWriter, crop: int, what: str, only_check: bool) -> list[str]:
    """Decode what is not yet stored, store it until the first fault, and check the rest; return the faults."""
    done = len(writer.written)
    stored = [
        _size_fault(s, w.picture.height, w.picture.width, crop) for s, w in zip(pictures, writer.written, strict=False)
    ]
    faults = [fault for fault in stored if fault]
    decoded = progress(_decode_in_order(pictures[done:]), what, total=len(pictures), start=done)
    for source, picture in zip(pictures[done:], decoded, strict=True):
        if isinstance(picture, str):
            faults.append(f"{source.origin}: {picture}")
            continue
        height, width = picture.pixels.shape[:2]
        fault = _size_fault(source, height, width, crop)
        if fault:
            faults.append(fault)
        if not faults and not only_check:
            fields = {"id": source.id, "split": source.split, "role": source.role, "label": source.label}
            writer.add(picture.pixels, picture.note, source=source.origin, **fields)
    return faults


def _size_fault(source: PictureSource, height: int, width: int, crop: int) -> str:
    if min(height, width) >= crop:
        return ""
    return f"{source.origin}: {height} x {width} is smaller than the training crop of {crop} x {crop} (data.crop)"


def _decode_in_order(pictures: Sequence[PictureSource]) -> Iterator[Decoded | str]:
    """Yield each picture, or why it is refused, in order; a few are decoded ahead, one thread per processor."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[Decoded | str]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for picture in pictures:
            waiting.append(pool.submit(_decoded_or_why, picture))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decoded_or_why(picture: PictureSource) -> Decoded | str:
    try:
        return decode(picture.content)
    except Unreadable as error:
        return str(error)


def _refuse_shared_content(written: Sequence[Written]) -> None:
    """DataError if a picture stands in training and in validation."""
    training = {w.picture.sha256: w.picture for w in written if w.picture.split == "train"}
    shared = [
        f"{w.picture.source} (validation) and {training[w.picture.sha256].source} (training) are the same picture"
        for w in written
        if w.picture.split == "validation" and w.picture.sha256 in training
    ]
    if shared:
        raise DataError(_all_of(shared, "pictures held out for validation must not be trained on"))


def _all_of(faults: Sequence[str], where: str) -> str:
    """Return one message: a headline, then a line per fault."""
    more = [f"... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    return "\n  ".join([f"{where}: {count}; mend them and run the same command again", *faults[:_SHOWN], *more])


def _manifest(task: str, data_set: DataSet, listing: Listing, demo: bool, written: Sequence[Written]) -> Manifest:
    conversions = Counter(w.note for w in written if w.note)
    notes = [*listing.notes, *(f"left out: {what}" for what in listing.missing)]
    notes += [f"{count} converted: {note}" for note, count in sorted(conversions.items())]
    licence = data_set.demo_licence if demo else data_set.licence
    return Manifest(task, data_set.name, demo, licence, notes, [w.picture for w in written])


def _summarise(manifest: Manifest) -> None:
    def count(pictures: list[Picture]) -> str:
        return f"{len(pictures)} pictures, {sum(p.height * p.width for p in pictures) / 1e6:.1f} megapixels"

    say(f"{manifest.task}: training {count(manifest.of('train'))}; validation {count(manifest.of('validation'))}")
    for note in manifest.notes:
        say(f"  {note}")
    say(f"  terms: {manifest.licence}")
