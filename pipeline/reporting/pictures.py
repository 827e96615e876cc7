"""Pictures of the report: held-out photographs, their restorations, and where draws differ, as data URIs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.pictures.decode import read_picture
from pipeline.reporting.pixels import centre, data_uri, enlarge, jpeg
from pipeline.reporting.results import TaskResults, VariantResults, number
from pipeline.reporting.wording import Wording, wording_of
from pipeline.stability.analyses.bad_pixels import STRESS_TABLE
from pipeline.stability.contract import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 256  # pixels of a centre crop; it is shown at a whole multiple: scaling by another factor would hide artifacts
SHOWN_SIDE = 320  # pixels of the page that a picture may be wide
STRESS_SIDE = 160
RESTORATIONS = 3  # per variant: estimates, then draws
_COLOUR_MAP = "magma"
_DARK = 26  # 8-bit levels; a picture that stays below this tenth of the range looks black
_LEAST_SCALE = 1.0  # 8-bit levels; a map of nothing but zeros needs a scale too


@dataclass(frozen=True)
class Shown:
    """One picture: a data URI, the words below it, and its width in the page, a whole multiple of its own."""

    uri: str
    caption: str
    width: int


@dataclass(frozen=True)
class Photograph:
    """One held-out photograph with what every variant made of it."""

    name: str
    inputs: list[Shown]  # input, baseline, ground truth
    variants: dict[str, list[Shown]]  # some restorations, then where all draws differ
    difference_scale: float  # the top of the colour scale: standard deviation in 8-bit levels
    multiple: int  # how many pixels of the page a pixel of the crop is wide

    @property
    def size(self) -> int:
        """Return the bytes that the pictures take in the page."""
        shown = [*self.inputs, *(picture for row in self.variants.values() for picture in row)]
        return sum(len(picture.uri) for picture in shown)


def photographs(results: TaskResults, limit: int) -> tuple[list[Photograph], int]:
    """Return the first photographs that fit into ``limit`` bytes (one at least), and how many there are."""
    entries: dict[str, dict[str, Any]] = {}
    for variant, result in results.variants.items():
        for entry in (result.samples or {}).get("pictures", []):
            entries.setdefault(entry["id"], {})[variant] = entry
    shown: list[Photograph] = []
    for name, by_variant in entries.items():
        found = [(results.variants[variant], entry) for variant, entry in by_variant.items()]
        photograph = _photograph(name, found, wording_of(results.kind), "synthetic" in results.demo)
        if shown and sum(other.size for other in shown) + photograph.size > limit:
            break
        shown.append(photograph)
    return shown, len(entries)


def stress_pictures(results: TaskResults, limit: int) -> tuple[dict[str, dict[str, Shown]], int]:
    """Return the worst stress input of each kind and how many kinds there are.

    Per input, per variant: input beside draw. The worst kinds come first, as many as fit into ``limit`` bytes (one
    at least).
    """
    worst: dict[str, tuple[float, str]] = {}
    shares: dict[str, dict[str, float]] = {}  # per input, of the variants that have met it
    for variant, result in results.variants.items():
        for row in result.tables[STRESS_TABLE]:
            share, name = number(row["bad_share"]), row["name"]
            worst[row["kind"]] = max(worst.get(row["kind"], (-1.0, "")), (share, name))
            shares.setdefault(name, {})[variant] = share
    shown: dict[str, dict[str, Shown]] = {}
    for _, name in sorted(worst.values(), key=lambda entry: -entry[0]):
        pictures = {variant: _stress(results.variants[variant], name, share) for variant, share in shares[name].items()}
        limit -= sum(len(picture.uri) for picture in pictures.values())
        if shown and limit < 0:
            break
        shown[name] = pictures
    return shown, len(worst)


def audit_pictures(results: TaskResults, picture: Picture, limit: int) -> tuple[dict[str, Shown], int]:
    """Return, per variant, the picture that its audit left, and how many there are.

    As many as fit into ``limit`` bytes, the smallest first and one at least.
    """
    found = {
        variant: _shown(read_picture(result.folder / "stability", picture.file), variant)
        for variant, result in results.variants.items()
        if (result.folder / "stability" / picture.file).is_file()
    }
    kept: set[str] = set()
    for variant in sorted(found, key=lambda variant: len(found[variant].uri)):
        limit -= len(found[variant].uri)
        if not kept or limit >= 0:
            kept.add(variant)
    return {variant: shown for variant, shown in found.items() if variant in kept}, len(found)


def _stress(result: VariantResults, name: str, share: float) -> Shown:
    pixels = read_picture(result.folder / "stability", f"stress/{name}.png")
    halves = np.split(pixels, [pixels.shape[1] // 2], axis=1)
    gain = _gain(halves[0])
    beside = np.concatenate([centre(brighten(half, gain), STRESS_SIDE) for half in halves], axis=1)
    brightened = f"; both brightened {gain} times for viewing" if gain > 1 else ""
    return _shown(beside, f"{result.variant}: {100 * share:.3g} % bad values{brightened}")


def _gain(pixels: NDArray[np.uint8]) -> int:
    """Return the whole number that makes a picture too dark to see bright; 1 for others, and for one that is black."""
    brightest = int(pixels.max())
    return 255 // brightest if 0 < brightest < _DARK else 1


def brighten(pixels: NDArray[np.uint8], gain: int) -> NDArray[np.uint8]:
    """Return ``gain`` times ``pixels``, 255 at most."""
    return (pixels.astype(np.int64) * gain).clip(0, 255).astype(np.uint8)


def difference_map(draws: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return where draws ``(H, W, 3)`` differ: standard deviation over draws, mean over RGB, in 8-bit levels."""
    return np.stack(draws).astype(np.float32).std(axis=0).mean(axis=-1)


def colour_stops(count: int = 9) -> list[str]:
    """Return the colours of the difference maps from none to most, as #rrggbb."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[_COLOUR_MAP](value)) for value in np.linspace(0.0, 1.0, count)]


def _photograph(
    name: str, entries: list[tuple[VariantResults, dict[str, Any]]], words: Wording, synthetic: bool
) -> Photograph:
    first, entry = entries[0]
    folder = first.folder / "samples"
    reference = read_picture(folder, entry["reference"])
    inputs = [
        _shown(
            centre(enlarge(read_picture(folder, entry["input"]), reference.shape), SIDE),
            f"{words.input}, synthetic" if synthetic else words.input,
        ),
        _shown(centre(read_picture(folder, entry["baseline"]), SIDE), words.baseline),
        _shown(centre(reference, SIDE), "ground truth"),
    ]
    draws = {
        result.variant: [centre(read_picture(result.folder / "samples", draw["file"]), SIDE) for draw in drawn["draws"]]
        for result, drawn in entries
    }
    maps = {variant: difference_map(pixels) for variant, pixels in draws.items()}
    scale = max(_LEAST_SCALE, *(float(np.percentile(levels, 99.5)) for levels in maps.values()))
    variants = {}
    for result, drawn in entries:
        row = [
            _shown(centre(read_picture(result.folder / "samples", drawn[estimate]), SIDE), caption)
            for estimate, caption in words.estimates.items()
        ]
        for i, (pixels, draw) in enumerate(zip(draws[result.variant], drawn["draws"], strict=True), 1):
            if len(row) < RESTORATIONS:
                row.append(_shown(pixels, _draw_caption(i, draw)))
        variants[result.variant] = [*row, _difference(maps[result.variant], scale, len(drawn["draws"]))]
    return Photograph(name, inputs, variants, scale, inputs[-1].width // centre(reference, SIDE).shape[1])


def _difference(levels: NDArray[np.float32], scale: float, draws: int) -> Shown:
    return _shown(_coloured(levels / scale), f"where {draws} draws differ (mean {levels.mean():.1f} levels)")


def _shown(pixels: NDArray[np.uint8], caption: str) -> Shown:
    width = pixels.shape[1]
    return Shown(data_uri(jpeg(pixels), "jpeg"), caption, width * max(1, SHOWN_SIDE // width))


def _draw_caption(index: int, draw: dict[str, Any]) -> str:
    bad = draw["nonfinite_values"] + draw["outside_values"]
    return f"draw {index}" + (f": {100 * bad / draw['values']:.2g} % bad values" if bad else "")


def _coloured(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    from matplotlib import colormaps

    return np.asarray(colormaps[_COLOUR_MAP](np.clip(values, 0.0, 1.0), bytes=True))[..., :3]
