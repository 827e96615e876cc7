"""Pictures of the report: held-out photographs, their restorations, and where draws differ, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import DataError
from pipeline.reporting.results import BASELINES, TaskResults, VariantResults, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 256  # pixels of a centre crop, shown 1:1: a scaled-down picture would hide artifacts
STRESS_SIDE = 160
DRAWS = 3
_COLOUR_MAP = "magma"
_LEAST_SCALE = 1.0  # 8-bit levels; a map of nothing but zeros needs a scale too
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class Shown:
    """One picture: a data URI and the words below it."""

    uri: str
    caption: str


@dataclass(frozen=True)
class Photograph:
    """One held-out photograph with what every variant made of it."""

    name: str
    inputs: list[Shown]  # input, baseline, ground truth
    variants: dict[str, list[Shown]]  # some draws, then where all draws differ
    difference_scale: float  # the top of the colour scale: standard deviation in 8-bit levels

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
        photograph = _photograph(name, found, BASELINES[results.kind])
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
    for result in results.variants.values():
        for row in result.stress:
            worst[row["kind"]] = max(worst.get(row["kind"], (-1.0, "")), (number(row["bad_share"]), row["name"]))
    shown: dict[str, dict[str, Shown]] = {}
    for _, name in sorted(worst.values(), key=lambda entry: -entry[0]):
        pictures = {variant: _stress(result, name) for variant, result in results.variants.items() if result.stress}
        limit -= sum(len(picture.uri) for picture in pictures.values())
        if shown and limit < 0:
            break
        shown[name] = pictures
    return shown, len(worst)


def _stress(result: VariantResults, name: str) -> Shown:
    share = next((number(row["bad_share"]) for row in result.stress if row["name"] == name), float("nan"))
    pixels = _read(result.folder / "stability", f"stress/{name}.png")
    halves = np.split(pixels, [pixels.shape[1] // 2], axis=1)
    beside = np.concatenate([_crop(half, STRESS_SIDE) for half in halves], axis=1)
    return Shown(_jpeg(beside), f"{result.variant}: {100 * share:.3g} % bad values")


def difference_map(draws: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return where draws ``(H, W, 3)`` differ: standard deviation over draws, mean over RGB, in 8-bit levels."""
    return np.stack(draws).astype(np.float32).std(axis=0).mean(axis=-1)


def colour_stops(count: int = 9) -> list[str]:
    """Return the colours of the difference maps from none to most, as #rrggbb."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[_COLOUR_MAP](value)) for value in np.linspace(0.0, 1.0, count)]


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes of ``image/<kind>`` as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _photograph(name: str, entries: list[tuple[VariantResults, dict[str, Any]]], baseline: str) -> Photograph:
    first, entry = entries[0]
    folder = first.folder / "samples"
    reference = _read(folder, entry["reference"])
    inputs = [
        Shown(_jpeg(_crop(_enlarge(_read(folder, entry["input"]), reference.shape))), "input, enlarged"),
        Shown(_jpeg(_crop(_read(folder, entry["baseline"]))), baseline),
        Shown(_jpeg(_crop(reference)), "ground truth"),
    ]
    draws = {
        result.variant: [_crop(_read(result.folder / "samples", draw["file"])) for draw in drawn["draws"]]
        for result, drawn in entries
    }
    maps = {variant: difference_map(pixels) for variant, pixels in draws.items()}
    scale = max(_LEAST_SCALE, *(float(np.percentile(levels, 99.5)) for levels in maps.values()))
    variants = {
        result.variant: [
            *(
                Shown(_jpeg(pixels), _draw_caption(i, draw))
                for i, (pixels, draw) in enumerate(zip(draws[result.variant][:DRAWS], drawn["draws"], strict=False), 1)
            ),
            _difference(maps[result.variant], scale, len(drawn["draws"])),
        ]
        for result, drawn in entries
    }
    return Photograph(name, inputs, variants, scale)


def _difference(levels: NDArray[np.float32], scale: float, draws: int) -> Shown:
    return Shown(_jpeg(_coloured(levels / scale)), f"where {draws} draws differ (mean {levels.mean():.1f} levels)")


def _draw_caption(index: int, draw: dict[str, Any]) -> str:
    bad = draw["nonfinite_values"] + draw["outside_values"]
    return f"draw {index}" + (f": {100 * bad / draw['values']:.2g} % bad values" if bad else "")


def _read(folder: Path, name: str) -> NDArray[np.uint8]:
    """Return a picture ``(H, W, 3)`` from inside ``folder``; a name that leads out of it is refused."""
    from PIL import Image, UnidentifiedImageError

    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder}: the picture '{name}' lies outside of this folder; run the stage again")
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} cannot be read ({error}); run the stage again") from None


def _enlarge(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return ``pixels`` at ``shape`` by repetition, as a network sees them."""
    rows = np.arange(shape[0]) * pixels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * pixels.shape[1] // shape[1]
    return pixels[rows][:, columns]


def _crop(pixels: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _coloured(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    from matplotlib import colormaps

    return np.asarray(colormaps[_COLOUR_MAP](np.clip(values, 0.0, 1.0), bytes=True))[..., :3]


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return data_uri(buffer.getvalue(), "jpeg")
