"""Restorations of pictures of any size: whole where memory suffices, else in tiles that overlap.

The latents are those of the whole picture, so draw i is the same in any tiling; where they are large, a band of their
rows is held at a time. What depends on the whole picture (an equalized histogram, a brightness) is part of what the
network sees, so it is computed before.

A tile is restored with a halo of its neighbourhood around it, which is thrown away. All layers are convolutions, so
a halo as wide as the network's receptive field would make the tiles equal to the whole picture up to rounding; but a
published network sees hundreds of pixels far, and hardly minds them (benchmarks/tiling.py). So the halo is
measured instead: where two tiles meet, each has restored a strip of the other as well. If the two differ there by more
than ``TOLERANCE``, what was drawn is thrown away and drawn with a halo of twice the width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import psutil
import torch
from torch import Tensor

from pipeline.console import progress, say, warn
from pipeline.inference.canvas import Canvas, Floats
from pipeline.inference.freed_memory import give_back_freed_memory
from pipeline.inference.memory_need import bytes_per_pixel
from pipeline.inference.sampling import LatentBand, draw_images, pad_to_multiple

C = TypeVar("C", bound=Canvas)

TOLERANCE = 0.5 / 255  # of a seam, in values clamped to [0, 1]: half of what 8 bits can show
HALO, WIDEST = 8, 128  # pixels of the flow's coarsest level; of small networks 8 leave 1e-5 (benchmarks/tiling.py)
_SMALL = 2**16  # pixels of a restoration that always fits
_MOST_BYTES = 3 * 2**28  # for a tile, or a picture that is not tiled, on the CPU
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
        """Yield ``draws`` un-clamped restorations ``(3, H, W)`` as ``draw_images`` does."""
        for canvas in self.paint(Floats, seen, draws, temperature, seed, picture):
            yield canvas.image.to(seen.device)

    def paint(
        self, blank: Callable[[int, int], C], seen: Tensor, draws: int, temperature: float, seed: int, picture: str
    ) -> Iterator[C]:
        """Yield what ``draw`` does, each put on what ``blank`` makes for its height and width.

        It says in a line how a picture is cut, once for each size.
        """
        network = self._network
        height, width = seen.shape[2] * network.scale, seen.shape[3] * network.scale
        cut = self._cut(seen)
        if cut is None:
            for image in draw_images(network, seen, draws, temperature, seed, picture):
                canvas = blank(height, width)
                canvas.put(slice(0, height), slice(0, width), image)
                yield canvas
            return
        padded = pad_to_multiple(seen, network.multiple)
        if (told := cut.described(padded)) not in self._told:
            say(told)
            self._told.add(told)
        shape = network.latent_shape(*padded.shape[2:])
        values = 3 * padded.shape[2:].numel() * network.scale**2
        together = max(1, _HELD_BYTES // (2 * 4 * values))  # latents have as many values as pictures
        for first in range(0, draws, together):
            numbers = range(first, min(first + together, draws))
            most = _HELD_BYTES // (2 * len(numbers))
            z = [LatentBand(shape, number, temperature, seed, picture, most) for number in numbers]
            yield from cut.restore(Work(network, padded, z, (height, width), blank))

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


class Work(NamedTuple, Generic[C]):
    """A picture to be restored, once for each of its latents."""

    network: Any
    padded: Tensor  # (1, C, h, w), of sizes that the network takes
    z: Sequence[LatentBand]
    size: tuple[int, int]  # rows and columns of the restoration, without what was padded
    blank: Callable[[int, int], C]  # makes for these what a restoration is put on


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

    def restore(self, work: Work[C]) -> list[C]:
        """Return a restoration for each of the latents.

        Widens the halo until no seam is seen; warns if memory, or the picture, sets a limit to it before.
        """
        while (found := self._try(work)) is None:
            self.halo *= 2
            say(f"tiles differ by {255 * self.seam:.2g}/255 where they meet: again with {self.halo} pixels around each")
        if self.seam > TOLERANCE:
            warn(f"tiles differ by up to {255 * self.seam:.2g}/255 where they meet; no wider halo is to be had")
        return found

    def _try(self, work: Work[C]) -> list[C] | None:
        """Return the restorations; None if a seam is seen and a wider halo can be had."""
        network, padded, z, size, blank = work
        height, width = padded.shape[2:]
        core, halo = self.core, self.halo
        self.seam = 0.0
        canvases = [blank(*size) for _ in z]
        edges = [_Edges(self.multiple, width * network.scale) for _ in z]
        corners = list(itertools.product(range(0, height, core), range(0, width, core)))
        for corner in progress(corners, "tiles"):
            rows, columns = (
                _Span(start, min(start + core, side), max(0, start - halo), min(start + core + halo, side))
                for start, side in zip(corner, (height, width), strict=True)
            )
            down, across = rows.times(network.scale), columns.times(network.scale)
            within = down.clipped(size[0]), across.clipped(size[1])
            for index, restored in enumerate(_restored_tile(network, padded, z, rows, columns)):
                self.seam = max(self.seam, edges[index].seam(restored, down, across))
                kept = restored[:, within[0].own(), within[1].own()]
                canvases[index].put(within[0].inner(), within[1].inner(), kept)
            give_back_freed_memory()
            if self.seam > TOLERANCE and self.can_widen(max(height, width)):
                return None
        return canvases


@torch.no_grad()
def _restored_tile(
    network: Any, padded: Tensor, z: Sequence[LatentBand], rows: _Span, columns: _Span
) -> Iterator[Tensor]:
    """Yield a tile ``(3, h, w)`` on the CPU, with its halo, for each of the latents."""
    down, across = z[0].shape[1] / padded.shape[2], z[0].shape[2] / padded.shape[3]
    condition = network.share(padded[:, :, rows.outer(), columns.outer()])
    for latent in z:
        around = latent.rows(rows.outer(down))[..., columns.outer(across)]
        (restored,), _ = network.inverse(around.to(padded.device), condition)
        yield restored.cpu()


class _Edges:
    """The last rows and columns of the tiles before, with which the next one's halo is compared.

    ``strip``: how many of them, in pixels of the restoration, whose padded width is ``width``.
    """

    def __init__(self, strip: int, width: int) -> None:
        self._strip = strip
        self._above, self._left = torch.empty(3, strip, width), torch.empty(0)

    def seam(self, restored: Tensor, rows: _Span, columns: _Span) -> float:
        """Return by how much a tile, with its halo, differs from its neighbours above and at its left; keep its edges.

        Tiles come row by row. Of values clamped to [0, 1].
        """
        strip = self._strip
        above, left = (min(strip, span.start - span.low) for span in (rows, columns))
        own_rows, own_columns = rows.own(), columns.own()
        found = 0.0
        if above:
            own = restored[:, own_rows.start - above : own_rows.start, own_columns]
            found = _difference(own, self._above[:, -above:, columns.inner()])
        if left:
            own = restored[:, own_rows, own_columns.start - left : own_columns.start]
            found = max(found, _difference(own, self._left[:, :, -left:]))
        core = restored[:, own_rows, own_columns]
        self._above[:, :, columns.inner()] = core[:, -strip:]
        self._left = core[:, :, -strip:].clone()
        return found


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

    def inner(self) -> slice:
        return slice(self.start, self.stop)

    def clipped(self, side: int) -> _Span:
        """Return it without those of its own rows, or columns, that lie beyond ``side``."""
        return _Span(self.start, min(self.stop, side), self.low, self.high)

    def own(self) -> slice:
        """Return where, in the tile with its halo, the tile without it is."""
        return slice(self.start - self.low, self.stop - self.low)


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
