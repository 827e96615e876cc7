"""Restorations of pictures of any size: whole where memory suffices, else in tiles that overlap.

The latents are those of the whole picture, drawn at once and cut, so draw i is the same in any tiling. What depends
on the whole picture (an equalized histogram, a brightness) is part of what the network sees, so it is computed before.

A tile is restored with a halo of its neighbourhood around it, which is thrown away. All layers are convolutions, so
a halo as wide as the network's receptive field would make the tiles equal to the whole picture up to rounding; but a
published network sees hundreds of pixels far, and hardly minds them (benchmarks/tiling.py). So the halo is
measured instead: where two tiles meet, each has restored a strip of the other as well. If the two differ there by more
than ``TOLERANCE``, what was drawn is thrown away and drawn with a halo of twice the width.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from pipeline.console import progress, say, warn
from pipeline.inference.memory_need import bytes_per_pixel
from pipeline.inference.sampling import draw_images, latents, pad_to_multiple

TOLERANCE = 0.5 / 255  # of a seam, in values clamped to [0, 1]: half of what 8 bits can show
HALO, WIDEST = 8, 128  # pixels of the flow's coarsest level; of small networks 8 leave 1e-5 (benchmarks/tiling.py)
_SMALL = 2**16  # pixels of a restoration that always fits
_MOST_BYTES = 3 * 2**29  # for a tile, or a picture that is not tiled, on the CPU
_HELD_BYTES = 2**29  # for the latents and restorations of draws that are made side by side
_CORE_TO_HALO = 4  # at least, if memory is there: a tile of side 6 with a core of side 4 costs 2.25 times its core


class Restorer:
    """Restores pictures with one network.

    ``tile``: rows and columns of the input that a tile restores, its halo not counted; None: the whole picture if its
    memory is estimated to suffice, else tiles that are as large as memory allows.
    """

    def __init__(self, network: Any, tile: int | None = None) -> None:
        self._network = network
        self._tile = tile
        self._bytes_per_pixel: float | None = None
        self._told: set[str] = set()

    def draw(self, seen: Tensor, draws: int, temperature: float, seed: int, picture: str) -> Iterator[Tensor]:
        """Yield ``draws`` un-clamped restorations ``(3, H, W)`` as ``draw_images`` does.

        It says in a line how a picture is cut, once for each size.
        """
        network = self._network
        cut = self._cut(seen)
        if cut is None:
            yield from draw_images(network, seen, draws, temperature, seed, picture)
            return
        height, width = seen.shape[2] * network.scale, seen.shape[3] * network.scale
        padded = pad_to_multiple(seen, network.multiple)
        if (told := cut.described(padded)) not in self._told:
            say(told)
            self._told.add(told)
        shape = network.latent_shape(*padded.shape[2:])
        values = 3 * padded.shape[2:].numel() * network.scale**2
        together = max(1, _HELD_BYTES // (2 * 4 * values))  # latents have as many values as pictures
        for first in range(0, draws, together):
            numbers = range(first, min(first + together, draws))
            z = [latents(shape, range(number, number + 1), temperature, seed, picture) for number in numbers]
            for image in cut.restore(network, padded, z):
                yield image[:, :height, :width].to(seen.device)

    def _cut(self, seen: Tensor) -> Cut | None:
        """Return how a picture is cut; None if it is restored whole."""
        height, width = seen.shape[2:]
        multiple, scale = self._network.multiple, self._network.scale
        if self._tile is not None:
            return None if self._tile >= max(height, width) else Cut(multiple, core=self._tile)
        pixels = height * width * scale**2
        if pixels <= _SMALL:
            return None
        if self._bytes_per_pixel is None:
            self._bytes_per_pixel = bytes_per_pixel(self._network, seen)
        most, usual = _memory(seen.device)
        if self._bytes_per_pixel * pixels <= usual:
            return None
        side, largest = (int((size / self._bytes_per_pixel) ** 0.5) // scale for size in (usual, most))
        return Cut(multiple, side=side, largest=largest)


class Cut:
    """How a picture is cut into tiles; sides are in pixels of the input, and multiples of what the network takes.

    ``core``: a fixed side of tiles without their halo, or None: what ``side``, at most, leaves of it; ``largest`` is
    the side, halo included, beyond which memory would not suffice. ``halo`` grows where seams are found.
    """

    def __init__(self, multiple: int, core: int | None = None, side: int = 0, largest: int = 0) -> None:
        self.multiple, self.side, self.largest = multiple, side, largest
        self.fixed = None if core is None else -(-core // multiple) * multiple
        self.halo = HALO * multiple
        self.seam = 0.0

    @property
    def core(self) -> int:
        """Return the side of a tile without its halo."""
        if self.fixed is not None:
            return self.fixed
        wanted = max(self.side - 2 * self.halo, _CORE_TO_HALO * self.halo)
        return max(self.multiple, min(wanted, self.largest - 2 * self.halo) // self.multiple * self.multiple)

    def can_widen(self, longest: int) -> bool:
        """Return whether twice the halo can be had, for a picture of this many rows or columns."""
        fits = self.fixed is not None or self.largest >= 4 * self.halo + self.multiple
        return fits and self.halo < min(WIDEST * self.multiple, longest)

    def described(self, padded: Tensor) -> str:
        """Return in a line how ``padded``, ``(1, C, h, w)``, is cut."""
        (height, width), core = padded.shape[2:], self.core
        tiles = -(-height // core) * -(-width // core)
        return (
            f"a picture of {height} x {width} is restored in {tiles} tiles of {min(core, height)} x {min(core, width)} "
            f"with {self.halo} pixels around each, which are thrown away"
        )

    def restore(self, network: Any, padded: Tensor, z: list[Tensor]) -> list[Tensor]:
        """Return a restoration ``(3, H, W)`` on the CPU for each of the latents ``(1, C, h, w)`` of one picture.

        ``padded``: ``(1, C, h, w)``, of sizes that the network takes. Widens the halo until no seam is seen; warns
        if memory, or the picture, sets a limit to it before.
        """
        while (found := self._try(network, padded, z)) is None:
            self.halo *= 2
            say(f"tiles differ by {255 * self.seam:.2g}/255 where they meet: again with {self.halo} pixels around each")
        if self.seam > TOLERANCE:
            warn(f"tiles differ by up to {255 * self.seam:.2g}/255 where they meet; no wider halo is to be had")
        return found

    def _try(self, network: Any, padded: Tensor, z: list[Tensor]) -> list[Tensor] | None:
        """Return the restorations; None if a seam is seen and a wider halo can be had."""
        height, width = padded.shape[2:]
        core, halo = self.core, self.halo
        self.seam = 0.0
        images = [torch.empty(3, height * network.scale, width * network.scale) for _ in z]
        corners = list(itertools.product(range(0, height, core), range(0, width, core)))
        for corner in progress(corners, "tiles"):
            rows, columns = (
                _Span(start, min(start + core, side), max(0, start - halo), min(start + core + halo, side))
                for start, side in zip(corner, (height, width), strict=True)
            )
            self._restore_tile(network, padded, z, images, rows, columns)
            if self.seam > TOLERANCE and self.can_widen(max(height, width)):
                return None
        return images

    @torch.no_grad()
    def _restore_tile(
        self, network: Any, padded: Tensor, z: list[Tensor], images: list[Tensor], rows: _Span, columns: _Span
    ) -> None:
        down, across = (z[0].shape[axis] / padded.shape[axis] for axis in (2, 3))
        condition = network.share(padded[:, :, rows.outer(), columns.outer()])
        for latent, image in zip(z, images, strict=True):
            around = latent[:, :, rows.outer(down), columns.outer(across)]
            (restored,), _ = network.inverse(around.to(padded.device), condition)
            self._place(restored.cpu(), image, rows.times(network.scale), columns.times(network.scale))

    def _place(self, restored: Tensor, image: Tensor, rows: _Span, columns: _Span) -> None:
        """Write a tile to its place, after it was compared with the tiles above and at its left."""
        strip = self.multiple
        above = slice(max(rows.low, rows.start - strip), rows.start)
        left = slice(max(columns.low, columns.start - strip), columns.start)
        inner_rows, inner_columns = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
        for down, across in ((above, inner_columns), (inner_rows, left)):
            own = restored[:, rows.within(down), columns.within(across)]
            self.seam = max(self.seam, _difference(own, image[:, down, across]))
        image[:, inner_rows, inner_columns] = restored[:, rows.within(inner_rows), columns.within(inner_columns)]


@dataclass(frozen=True)
class _Span:
    """Rows, or columns, of a tile, ``start`` to ``stop``, and with its halo, ``low`` to ``high``."""

    start: int
    stop: int
    low: int
    high: int

    def times(self, factor: int) -> _Span:
        return _Span(self.start * factor, self.stop * factor, self.low * factor, self.high * factor)

    def outer(self, factor: float = 1.0) -> slice:
        return slice(round(self.low * factor), round(self.high * factor))

    def within(self, part: slice) -> slice:
        return slice(part.start - self.low, part.stop - self.low)


def _memory(device: torch.device) -> tuple[int, int]:
    """Return how many bytes may be used, and how many are: half of what is free; on the CPU no more than is usual."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free // 2, free // 2
    free = int(psutil.virtual_memory().available)
    return free // 2, min(_MOST_BYTES, free // 2)


def _difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of values clamped to [0, 1], among those that are finite in both; else 0."""
    both = one.isfinite() & other.isfinite()
    differences = (one.clamp(0.0, 1.0) - other.clamp(0.0, 1.0)).abs()[both]
    return float(differences.max()) if differences.numel() else 0.0
