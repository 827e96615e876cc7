"""Restore held-out crops for evaluation, or one picture that a user has."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config import RuntimeConfig, SamplingConfig
from pipeline.console import progress, warn
from pipeline.devices import choose_device
from pipeline.errors import DataError, SteadyflowError, printable
from pipeline.files import writable_folder, write_json
from pipeline.inference.brightness import brightness_gain
from pipeline.inference.canvas import EightBit
from pipeline.inference.held_out import Crop
from pipeline.inference.tiling import Restorer
from pipeline.model_folder import LoadedFlow, load_flow
from pipeline.origin import origin_of
from pipeline.pictures.decode import Unreadable, decode
from pipeline.pictures.eight_bit import bad_values, to_tensor, to_uint8, value_statistics, write_png
from pipeline.pictures.folders import safe_id

_PARTS = ("reference", "input", "baseline", "latent_mean", "draws_mean")
_LONGEST_STEM = 200  # bytes; file systems take names of 255
USUAL_DRAWS = 4  # of one picture that somebody wants to see


def restore_crops(
    flow: LoadedFlow, crops: Iterable[Crop], folder: Path, sampling: SamplingConfig, seed: int, tile: int | None = None
) -> dict[str, Any]:
    """Draw restorations of held-out crops, write ``folder``; return samples.json's content.

    ``crops`` have a length; each is a name and its sides ``(H, W, 3)`` uint8: the target, then the inputs if there are
    any that were not made from it. ``tile``: as of ``Restorer``.
    """
    pictures = []
    restorer = Restorer(flow.network, tile)
    network, config, kind = flow.network, flow.config, flow.kind
    draws, temperature, quantization = sampling.draws, sampling.temperature, sampling.quantization
    for name, sides in progress(crops, f"sample {config.task} {config.variant}"):
        target, seen = kind.pair([to_tensor(side).to(flow.device) for side in sides], network.scale)
        place = folder / name
        write_png(place / "reference.png", sides[0])
        write_png(place / "input.png", to_uint8(kind.shown(seen)[0], "round"))
        baseline = kind.baseline(seen, network.scale)[0]
        write_png(place / "baseline.png", to_uint8(baseline, "round"))
        (center,) = restorer.draw(seen, 1, 0.0, seed, name)
        write_png(place / "latent_mean.png", to_uint8(center, quantization))
        records, total = [], torch.zeros_like(center)
        for index, image in enumerate(restorer.draw(seen, draws, temperature, seed, name)):
            file = f"{name}/draw_{index:02d}.png"
            write_png(folder / file, to_uint8(image, quantization))
            records.append({"file": file, **value_statistics(image)})
            total += image
        write_png(place / "draws_mean.png", to_uint8(total / draws, quantization))
        files = {part: f"{name}/{part}.png" for part in _PARTS}
        if kind.brightness_gain:
            for part, image in (("baseline", baseline), ("latent_mean", center), ("draws_mean", total / draws)):
                if gain := brightness_gain(image, target[0]):
                    files[f"{part}_gain"] = f"{name}/{part}_gain.png"
                    write_png(place / f"{part}_gain.png", to_uint8(gain * image, quantization))
        pictures.append({"id": name, **files, "draws": records})
    content = {
        **origin_of(config),
        "kind": config.kind,
        "aspect": kind.aspect,
        "scale": network.scale,
        "temperature": temperature,
        "quantization": quantization,
        "pictures": pictures,
    }
    write_json(folder / "samples.json", content)
    return content


def how_to_draw(own: float, temperature: float | None, draws: int | None, usual: int) -> tuple[float, int]:
    """Return temperature and number of draws: what was asked for, else the model's ``own``, and ``usual`` draws.

    At temperature 0 all draws are equal, so there one is enough. Raises SteadyflowError for impossible values.
    """
    if (draws is not None and draws < 1) or not 0 <= (temperature or 0.0) < math.inf:
        raise SteadyflowError(f"draws must be 1 or more and temperature 0 or more, got {draws} and {temperature}")
    tau = own if temperature is None else temperature
    return tau, draws or (usual if tau else 1)


class Draw(NamedTuple):
    """A draw in 8 bits: the name of its file, ``(H, W, 3)`` uint8, and what its un-clamped values were like."""

    file: str
    pixels: NDArray[np.uint8]
    statistics: dict[str, Any]

    @property
    def bad(self) -> bool:
        """Return whether values were outside [-0.5, 1.5] or non-finite."""
        return bad_values(self.statistics) > 0


def restore_picture(
    flow: LoadedFlow,
    restorer: Restorer,
    content: Path | bytes,
    name: str,
    draws: int,
    temperature: float,
    seed: int,
    quantization: str = "round",
) -> Iterator[Draw]:
    """Return ``draws`` restorations of the picture in a file, or in the bytes of one, each made when it is asked for.

    ``restorer`` is of the flow's network; for many pictures one, which measures its need of memory once. ``name`` is
    the file's, which seeds the latents together with ``seed``. Raises DataError for an unreadable picture, at once.
    """
    try:
        seen = flow.kind.from_picture(to_tensor(decode(content).pixels)).to(flow.device)
    except Unreadable as reason:
        where = content if isinstance(content, Path) else name
        raise DataError(f"{printable(str(where))} cannot be restored: {reason}") from None
    stem = _readable(Path(name).stem)
    blank = functools.partial(EightBit, quantization)
    return (
        Draw(f"{stem}_draw_{index:02d}.png", canvas.pixels, canvas.statistics)
        for index, canvas in enumerate(restorer.paint(blank, seen, draws, temperature, seed, name))
    )


def restore_file(
    model: Path,
    picture: Path,
    out: Path,
    draws: int | None,
    temperature: float | None,
    seed: int,
    quantization: str = "round",
    tile: int | None = None,
) -> list[Path]:
    """Restore one picture file with a model folder; write and return the draws, named after the picture.

    A name that is too long to be added to, or that cannot be printed, is replaced by an id made of it.

    ``draws``: None for four, or for one at temperature 0. ``temperature``: None for the model's own. ``tile``: as of
    ``Restorer``. Raises DataError for an unreadable picture, CheckpointError for a folder that holds no model,
    SteadyflowError for an ``out`` that cannot be written to.
    """
    flow = load_flow(model, choose_device(RuntimeConfig()))
    tau, count = how_to_draw(flow.config.temperature, temperature, draws, USUAL_DRAWS)
    drawn = restore_picture(flow, Restorer(flow.network, tile), picture, picture.name, count, tau, seed, quantization)
    writable_folder(out)
    written, bad = [], 0
    for draw in progress(drawn, f"restore {picture.name}", count):
        bad += draw.bad
        written.append(write_png(out / draw.file, draw.pixels))
        write_json(written[-1].with_suffix(".json"), draw.statistics)
    if bad:
        warn(f"{bad} of {count} draws have values outside [-0.5, 1.5] or non-finite ones; see the .json beside each")
    return written


def _readable(stem: str) -> str:
    return stem if len(os.fsencode(stem)) <= _LONGEST_STEM and stem.isprintable() else safe_id(stem)
