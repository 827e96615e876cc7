"""How fast training pairs are loaded, against the published way, and what 10,000 pictures cost.

    python benchmarks/loading.py            # minutes; on an otherwise idle machine
    python benchmarks/loading.py --quick    # seconds: does it run at all

A pair is an HR crop of 160 x 160, flipped and turned at random, and its LR at 1/4 of the size; batches of 16.

The published way (SRFlow, NCSR, FS-NCSR, written anew here): for every item the whole PNG is decoded, a crop is
cut out and augmented, and its LR is made in numpy by MATLAB's bicubic, whose weights are computed for each item.
NCSR's second resize, of its noise, is left out, to the advantage of the published way.

Both sides run in the same DataLoader with the same number of worker processes, one thread each, in turns on the
same pictures. Ours sends whole batches of crops; LR is then made in the main process, as training does on its
device, and the time for it counts. All files are in the system's cache: no disk is measured. There is one more
row for the loader as training runs it, with one thread of the main process instead of worker processes.

The pictures are of 2K size (2040 x 1356, as DIV2K's), enlarged from the photographs inside scikit-image and
scikit-learn, mirrored and shifted for variety, with noise of a standard deviation of 2 so that their PNG files
are about as large as DIV2K's (some 4 MB).

For the growth, manifests of 10 to 10,000 such pictures are read for a while, each in a process of its own. "Same
bytes": their rows point at the same few pictures, which are in memory. "Own bytes": every picture has a place of
its own in files that are holes (at 10,000: 83 GB), so that nearly every crop comes from pages that were not in
memory before. Memory is what the process gained since before the manifest was opened.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import cv2
import numpy as np
import psutil
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from pipeline.datasets.catalogue import DATASETS
from pipeline.feed.degradations import low_resolution
from pipeline.feed.loading import CropLoader
from pipeline.feed.manifest import FILE, Manifest, Picture, write_manifest
from pipeline.feed.shards import Pictures, ShardWriter

HEIGHT, WIDTH = 1356, 2040
CROP, SCALE, BATCH = 160, 4, 16
PER_SHARD = 24  # pictures of this size in a shard of the usual size


class PublishedWay(Dataset):
    """One item is one pair: decode the whole file, crop, flip, turn, resize."""

    def __init__(self, files: list[Path], length: int) -> None:
        self._files, self._length = files, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        draw = np.random.default_rng(number)
        pixels = cv2.cvtColor(cv2.imread(str(self._files[number % len(self._files)])), cv2.COLOR_BGR2RGB)
        top, left = (int(draw.integers(size - CROP + 1)) for size in pixels.shape[:2])
        crop = pixels[top : top + CROP, left : left + CROP]
        if draw.random() < 0.5:
            crop = crop[:, ::-1]
        crop = np.rot90(crop, (0, 1, 3)[draw.integers(3)])
        return _tensor(crop), _tensor(numpy_bicubic(crop, 1 / SCALE))


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255


def numpy_bicubic(pixels: np.ndarray, factor: float) -> np.ndarray:
    """MATLAB's bicubic on ``(H, W, 3)`` uint8 the usual way in numpy: weights and indices, gather, sum, round."""
    for axis in (0, 1):
        size = pixels.shape[axis]
        out = math.ceil(size * factor)
        centre = np.arange(1, out + 1) / factor + 0.5 * (1 - 1 / factor)
        taps = np.floor(centre - 2 / factor)[:, None] + np.arange(math.ceil(4 / factor) + 2)
        x = np.abs(factor * (centre[:, None] - taps))
        weights = (1.5 * x**3 - 2.5 * x**2 + 1) * (x <= 1)
        weights += (-0.5 * x**3 + 2.5 * x**2 - 4 * x + 2) * ((x > 1) & (x <= 2))
        weights /= weights.sum(axis=1, keepdims=True)
        mirror = np.concatenate([np.arange(size), np.arange(size)[::-1]])
        gathered = np.take(pixels, mirror[(taps.astype(int) - 1) % (2 * size)], axis=axis).astype(np.float64)
        shape = [1, 1, 1, 1]
        shape[axis], shape[axis + 1] = weights.shape
        pixels = np.clip((gathered * weights.reshape(shape)).sum(axis=axis + 1).round(), 0, 255).astype(np.uint8)
    return pixels


class Steps(Dataset):
    """One item is the whole batch of a step, 8-bit crops; for the worker processes of a DataLoader."""

    def __init__(self, loader: CropLoader, length: int) -> None:
        self._loader, self._length = loader, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, step: int) -> torch.Tensor:
        return self._loader.batch(step)


def make_pictures(folder: Path, count: int) -> tuple[list[Path], Path]:
    """Return ``count`` PNG files of 2K pictures, and the manifest of the same pictures prepared."""
    sources = [p.content for p in DATASETS["df2k"].demo().pictures]
    draw = np.random.default_rng(0)
    writer = ShardWriter(folder / ".partial", [str(number) for number in range(count)])
    files = []
    for number in range(count):
        photograph = np.asarray(Image.open(sources[number % len(sources)]).convert("RGB"))
        zoom = max(HEIGHT / photograph.shape[0], WIDTH / photograph.shape[1]) * draw.uniform(1.0, 1.2)
        large = cv2.resize(photograph, None, fx=zoom * 1.01, fy=zoom * 1.01, interpolation=cv2.INTER_CUBIC)
        top, left = (
            int(draw.integers(have - want + 1)) for have, want in zip(large.shape[:2], (HEIGHT, WIDTH), strict=True)
        )
        part = large[top : top + HEIGHT, left : left + WIDTH]
        part = part[:, ::-1] if draw.random() < 0.5 else part
        pixels = np.clip(part + draw.normal(0, 2, part.shape), 0, 255).astype(np.uint8)
        files.append(folder / f"{number:04d}.png")
        Image.fromarray(pixels).save(files[-1])
        writer.add(pixels, "", id=f"{number:04d}", split="train", source="", role="target", label=None)
    pictures = [written.picture for written in writer.finish()]
    return files, writer.publish(Manifest("benchmark", "enlarged", True, "", [], pictures), folder / "prepared")


def pairs_per_second(batches: Iterator[tuple[torch.Tensor, torch.Tensor]], seconds: float) -> float:
    """Return the rate over about ``seconds``, the first batch and the workers' start left out."""
    next(batches)
    began, pairs = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        hr, lr = next(batches)
        assert hr.shape[2:] == (CROP, CROP)
        assert lr.shape[2:] == (CROP // SCALE, CROP // SCALE)
        pairs += len(hr)
    return pairs / (time.perf_counter() - began)


def published(files: list[Path], workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches the published way."""
    yield from DataLoader(PublishedWay(files, 10**7), BATCH, num_workers=workers)


def ours(manifest: Path, workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches of this project's loader; without worker processes it is the loader's own thread."""
    loader = CropLoader(Pictures(manifest, "train"), CROP, BATCH, 0, True, True)
    crops = (
        DataLoader(Steps(loader, 10**6), batch_size=None, num_workers=workers) if workers else loader.batches(0, 10**6)
    )
    for pixels in crops:
        yield pixels.float() / 255, low_resolution(pixels, SCALE)


def compare(files: list[Path], manifest: Path, seconds: float, rounds: int) -> Table:
    """Return the table of rates, both ways measured in turns."""
    table = Table(title=f"training pairs per second: crop {CROP}, x{SCALE}, batch {BATCH}; median (least to most)")
    for column in ("workers", "published way", "this loader", "ratio of medians"):
        table.add_column(column, justify="right")
    thread = [pairs_per_second(ours(manifest, 0), seconds) for _ in range(rounds)]
    for workers in (1, 2):
        rates: dict[str, list[float]] = {"published": [], "ours": []}
        for _ in range(rounds):
            rates["published"].append(pairs_per_second(published(files, workers), seconds))
            rates["ours"].append(pairs_per_second(ours(manifest, workers), seconds))
        ratio = statistics.median(rates["ours"]) / statistics.median(rates["published"])
        table.add_row(str(workers), _spread(rates["published"]), _spread(rates["ours"]), f"{ratio:.0f}")
    table.add_row("a thread", "", _spread(thread), "")
    return table


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"


def steps_of_a_pair(files: list[Path], manifest: Path, repeats: int) -> Table:
    """Return the table of what one pair spends its time on, in one process."""
    loader = CropLoader(Pictures(manifest, "train"), CROP, BATCH, 0, True, True)
    pixels = loader.batch(0)
    crop = np.ascontiguousarray(pixels[0].permute(1, 2, 0).numpy())
    # Both ways make the same LR, or the comparison would be worth nothing.
    assert torch.equal(_tensor(numpy_bicubic(crop, 1 / SCALE)), low_resolution(pixels, SCALE)[0])
    timed: list[tuple[str, Callable[[int], object], int]] = [
        ("published: decode the whole PNG", lambda n: cv2.imread(str(files[n % len(files)])), 1),
        ("published: LR in numpy", lambda n: numpy_bicubic(crop, 1 / SCALE), 1),
        ("this loader: crop, flip, turn, stack", loader.batch, BATCH),
        ("this loader: LR of the batch", lambda n: low_resolution(pixels, SCALE), BATCH),
    ]
    table = Table(title="milliseconds per pair, median")
    table.add_column("step")
    table.add_column("ms", justify="right")
    for name, call, pairs in timed:
        spent = []
        for number in range(repeats):
            began = time.perf_counter()
            call(number)
            spent.append((time.perf_counter() - began) / pairs)
        table.add_row(name, f"{1000 * statistics.median(spent):.3f}")
    return table


def repeated_manifest(folder: Path, count: int, prepared: Path | None) -> Path:
    """Return a manifest of ``count`` pictures: rows on ``prepared``'s bytes, or in files of holes if it is None."""
    folder.mkdir(parents=True)
    if prepared is not None:
        for shard in prepared.parent.glob("*.bin"):
            (folder / shard.name).symlink_to(shard)
        stored = Pictures(prepared, "train")._pictures
        pictures = [
            dataclasses.replace(which, id=f"p{n}") for n, which in ((n, stored[n % len(stored)]) for n in range(count))
        ]
    else:
        size = HEIGHT * WIDTH * 3
        places = [(f"shard-{n // PER_SHARD:05d}.bin", n % PER_SHARD * size) for n in range(count)]
        for name in {name for name, _ in places}:
            with (folder / name).open("wb") as file:
                file.truncate(PER_SHARD * size)
        zeros = hashlib.sha256(bytes(size)).hexdigest()
        pictures = [Picture(f"p{n}", "train", "", HEIGHT, WIDTH, zeros, *place) for n, place in enumerate(places)]
    return write_manifest(folder / FILE, Manifest("benchmark", "repeated", True, "", [], pictures))


def read_for_a_while(manifest: Path, seconds: float) -> tuple[float, float, float, float]:
    """Return (seconds to open, pairs per second, MB gained in all, MB gained that belong to no file)."""
    torch.set_num_threads(1)
    low_resolution(torch.zeros(BATCH, 3, CROP, CROP, dtype=torch.uint8), SCALE)  # what every process loads once
    before = _memory()
    began = time.perf_counter()
    loader = CropLoader(Pictures(manifest, "train"), CROP, BATCH, 0, True, True)
    loader.batch(0)
    opened = time.perf_counter() - began
    began, pairs = time.perf_counter(), 0
    for pixels in loader.batches(0, 10**6):
        low_resolution(pixels, SCALE)
        pairs += len(pixels)
        if time.perf_counter() - began > seconds:
            break
    rate = pairs / (time.perf_counter() - began)
    gained = [after - then for after, then in zip(_memory(), before, strict=True)]
    return opened, rate, *gained


def _memory() -> tuple[float, float]:
    """Return (resident, resident without mapped files) in MB."""
    info = psutil.Process().memory_info()
    return info.rss / 1e6, (info.rss - info.shared) / 1e6


def growth(folder: Path, prepared: Path, counts: list[int], seconds: float) -> Table:
    """Return the table of rate and memory over the number of pictures."""
    table = Table(title="growth with the number of pictures (the loader's own thread)")
    for column in ("pictures", "bytes", "open, s", "pairs per second", "memory, MB", "of it no file's, MB"):
        table.add_column(column, justify="right")
    spawn = multiprocessing.get_context("spawn")
    for kind, source in (("same", prepared), ("own", None)):
        for count in counts:
            manifest = repeated_manifest(folder / f"{kind}-{count}", count, source)
            with spawn.Pool(1) as pool:
                opened, rate, memory, own = pool.apply(read_for_a_while, (manifest, seconds))
            table.add_row(f"{count:,}", kind, f"{opened:.2f}", f"{rate:,.0f}", f"{memory:,.0f}", f"{own:,.0f}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: the numbers mean nothing")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement, both ways in turns")
    chosen = parser.parse_args()
    seconds, rounds = (0.2, 1) if chosen.quick else (chosen.seconds, chosen.rounds)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, manifest = make_pictures(folder, 2 if chosen.quick else 10)
        megabytes = sum(file.stat().st_size for file in files) / len(files) / 1e6
        console.print(f"{len(files)} enlarged photographs of {WIDTH} x {HEIGHT}, {megabytes:.1f} MB of PNG each")
        console.print(compare(files, manifest, seconds, rounds))
        console.print(steps_of_a_pair(files, manifest, 2 if chosen.quick else 50))
        counts = [10] if chosen.quick else [10, 100, 1000, 10_000]
        console.print(growth(folder, manifest, counts, seconds))


if __name__ == "__main__":
    main()
