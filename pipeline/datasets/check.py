"""Check a source of pictures: every fault at once, whether the pictures are then stored or not.

``prepare`` and ``steadyflow check-data`` both go through ``examine``; there is no second implementation.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.config import DatasetConfig, Params
from pipeline.console import progress, say, warn
from pipeline.datasets.catalogue import DATASETS
from pipeline.datasets.contract import DEMO, DataSet, Listing, PictureSource, Wanted
from pipeline.errors import ConfigError, DataError, nearest
from pipeline.feed.manifest import SAFE_ID
from pipeline.pictures.decode import Decoded, Unreadable, decode
from pipeline.pictures.folders import abridged, shown

_SHOWN = 40  # faults in one message
Keep = Callable[[PictureSource, Decoded], None]


class Seen(NamedTuple):
    """What one look at a picture tells: its size in pixels and the hash of its RGB bytes."""

    source: PictureSource
    height: int
    width: int
    sha256: str


@dataclass(frozen=True)
class Examined:
    """``faults`` must be mended, ``warnings`` should be known; ``seen`` are the pictures that could be read."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """A data set, where its pictures are, and what a task asks of them; ``crop`` 1 asks for no size."""

    data_set: DataSet
    settings: DatasetConfig
    wanted: Wanted = field(default_factory=Wanted)
    crop: int = 1

    @property
    def key(self) -> str:
        """The source as params.yaml has it."""
        return f"datasets.{self.data_set.name}.source '{self.settings.source}'"

    def listing(self, root: Path) -> Listing:
        """Return the pictures; DataError if the source is not there."""
        return self.data_set.splits(self.settings.source, root, self.wanted)


def source_of(task: str, params: Params) -> Source:
    """Return the source of ``task``'s pictures; ConfigError names an unknown data set."""
    settings, chosen = params.task(task), params.dataset(task)
    if settings.dataset not in DATASETS:
        raise ConfigError(
            f"params.yaml: tasks.{task}.dataset '{settings.dataset}' does not exist; "
            f"{nearest(settings.dataset, DATASETS)}"
        )
    # at scale 1 nothing is shrunk: the degraded side can only come from the source
    wanted = Wanted(settings.scale, chosen.options, paired=settings.scale == 1)
    return Source(DATASETS[settings.dataset], chosen, wanted, params.settings(task).data.crop)


def examine(
    source: Source, listing: Listing, what: str, done: Iterable[Seen] = (), keep: Keep | None = None
) -> Examined:
    """Look at every picture of ``listing`` and return all that is to say; ``what`` names the progress.

    ``done`` are the first pictures, if they were looked at before: they are not read again. ``keep`` gets every
    other picture in order, until the first fault.
    """
    found = Examined(_listing_faults(source, listing), _overlaps(source), list(done))
    found.faults.extend(fault for seen in found.seen if (fault := _size_fault(seen, source.crop)))
    left = listing.pictures[len(found.seen) :]
    pictures = progress(_read_in_order(left), what, total=len(listing.pictures), start=len(found.seen))
    for picture, read in zip(left, pictures, strict=True):
        if isinstance(read, str):
            found.faults.append(f"{shown(picture.origin)}: {read}")
            continue
        decoded, seen = read
        found.seen.append(seen)
        if fault := _size_fault(seen, source.crop):
            found.faults.append(fault)
        if keep and not found.faults:
            keep(picture, decoded)
    found.faults.extend(_pair_faults(found.seen, source.wanted.scale))
    shared = _in_both_splits(found.seen)
    if source.data_set.published_duplicates:
        found.warnings.extend([f"{shared[0]} ({len(shared)} in all)"] if shared else [])
    else:
        found.faults.extend(f"{fault}; what is held out must not be trained on" for fault in shared)
    found.warnings.extend(_repeated(found.seen))
    return found


def _listing_faults(source: Source, listing: Listing) -> list[str]:
    """Return what can be said about a source before any picture is opened."""
    faults = list(listing.faults)
    if not source.settings.allow_partial:
        hint = f"(to go on without: datasets.{source.data_set.name}.allow_partial: true)"
        faults += [f"missing: {what} {hint}" for what in listing.missing]
    for split in source.data_set.splits_needed:
        if not any(picture.split == split for picture in listing.pictures):
            faults.append(f"no picture for {split}")
    if source.wanted.paired and {picture.role for picture in listing.pictures} == {"target"}:
        faults.append("no pairs of a low-light picture and its original, which the task needs")
    names = Counter((picture.role, picture.id) for picture in listing.pictures)
    faults += [
        f"{count} pictures have the name '{shown(name)}' ({role})" for (role, name), count in names.items() if count > 1
    ]
    unsafe = [picture.origin for picture in listing.pictures if not SAFE_ID.fullmatch(picture.id)]
    faults += [f"{origin!r}: rename it; only letters, digits, '-', '_' and '.' are allowed" for origin in unsafe]
    return faults


def _overlaps(source: Source) -> list[str]:
    if source.settings.source == DEMO:
        return []
    return [
        f"known overlap with {other}: {how}; do not train on one and test on the other"
        for other, how in source.data_set.overlaps.items()
    ]


def _size_fault(seen: Seen, crop: int) -> str:
    if seen.source.role != "target" or min(seen.height, seen.width) >= crop:
        return ""
    size = f"{seen.height} x {seen.width}"
    return f"{shown(seen.source.origin)}: {size} is smaller than the training crop of {crop} x {crop} (data.crop)"


def _read_in_order(pictures: Sequence[PictureSource]) -> Iterator[tuple[Decoded, Seen] | str]:
    """Yield each picture, or why it is refused, in order; a few are decoded ahead, one thread per processor."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[tuple[Decoded, Seen] | str]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for picture in pictures:
            waiting.append(pool.submit(_read, picture))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read(picture: PictureSource) -> tuple[Decoded, Seen] | str:
    try:
        decoded = decode(picture.content)
        if picture.processing:
            decoded = decoded._replace(pixels=picture.processing(decoded.pixels))
    except Unreadable as error:
        return shown(error)
    height, width = decoded.pixels.shape[:2]
    return decoded, Seen(picture, height, width, hashlib.sha256(decoded.pixels.tobytes()).hexdigest())


def _pair_faults(seen: Sequence[Seen], scale: int) -> list[str]:
    """Return the pairs whose sizes don't match: an input is its target's size over the scale, rounded up or down."""
    targets = {one.source.id: one for one in seen if one.source.role == "target"}
    faults = []
    for given in (one for one in seen if one.source.role == "input"):
        target = targets.get(given.source.id)
        if target is None:
            continue  # it could not be read, which has its own line
        sides = ((target.height, given.height), (target.width, given.width))
        if any(abs(large - scale * small) >= scale for large, small in sides):
            faults.append(
                f"{shown(given.source.origin)}: {given.height} x {given.width} does not match "
                f"{shown(target.source.origin)} of {target.height} x {target.width} at scale {scale}"
            )
    return faults


def _in_both_splits(seen: Sequence[Seen]) -> list[str]:
    training = {(one.source.role, one.sha256): one.source for one in seen if one.source.split == "train"}
    return [
        f"{shown(one.source.origin)} (validation) and {shown(twin.origin)} (training) are the same picture"
        for one in seen
        if one.source.split == "validation" and (twin := training.get((one.source.role, one.sha256)))
    ]


def _repeated(seen: Sequence[Seen]) -> list[str]:
    """Return a line per split and role in which a picture stands more than once."""
    first: dict[tuple[str, str, str], Seen] = {}
    again: dict[tuple[str, str], list[str]] = {}
    for one in seen:
        key = (one.source.split, one.source.role, one.sha256)
        twin = first.setdefault(key, one)
        if twin is not one:
            again.setdefault(key[:2], []).append(f"{one.source.origin} is {twin.source.origin}")
    return [
        f"{split}, {role}: the same picture more than once: {abridged(all_)}" for (split, role), all_ in again.items()
    ]


def faults_message(faults: Sequence[str], where: str) -> str:
    """Return one message: a headline, then a line per fault."""
    more = [f"... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    return "\n  ".join([f"{where}: {count}; mend them and run the same command again", *faults[:_SHOWN], *more])


def check_sources(sources: Sequence[Source], root: Path) -> None:
    """Look at every picture of ``sources``, print what was found; DataError lists the faults of all of them."""
    faults, looked = [], []
    chosen: dict[tuple[str, ...], tuple[Source, Listing]] = {}
    for source in sources:
        try:
            listing = source.listing(root)
        except DataError as error:
            faults.append(str(error))
            continue
        # Two tasks may share their pictures: one look is enough, with the larger crop.
        key = (source.key, *(picture.origin for picture in listing.pictures))
        if key not in chosen or source.crop > chosen[key][0].crop:
            chosen[key] = (source, listing)
    for source, listing in chosen.values():
        name = source.data_set.name
        found = examine(source, listing, f"check {name}")
        looked.append((name, found.seen))
        counts = Counter(seen.source.split for seen in found.seen if seen.source.role == "target")
        pairs = ", in pairs" if any(seen.source.role == "input" for seen in found.seen) else ""
        say(
            f"{name} from {source.settings.source}: {counts['train']} for training, {counts['validation']} held out"
            f"{pairs}, {len(found.faults)} faults"
        )
        left_out = [f"left out: {what}" for what in listing.missing] if source.settings.allow_partial else []
        for line in [*listing.notes, *left_out]:
            say(f"  {shown(line)}")
        for line in found.warnings:
            warn(f"{name}: {line}")
        if found.faults:
            faults.append(faults_message(found.faults, source.key))
    for line in _shared_between(looked):
        warn(line)
    if faults:
        raise DataError("\n".join(faults))


def _shared_between(looked: Sequence[tuple[str, Sequence[Seen]]]) -> list[str]:
    """Return a line for each two data sets where pictures held out in one are training pictures of the other."""
    lines = []
    for name, seen in looked:
        training = {one.sha256 for one in seen if one.source.split == "train"}
        for other, held_out in looked:
            shared = [
                one.source.origin for one in held_out if one.source.split == "validation" and one.sha256 in training
            ]
            if other != name and shared:
                lines.append(f"training pictures of {name} are held out in {other}: {abridged(shared)}")
    return lines
