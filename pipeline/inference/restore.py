"""Restore held-out crops for evaluation, or one picture that a user has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.console import progress, warn
from pipeline.datasets.bicubic import imresize
from pipeline.errors import DataError, SteadyflowError
from pipeline.files import write_json
from pipeline.inference.pictures import degraded, to_tensor, to_uint8, value_statistics, write_png
from pipeline.inference.sampling import draw_images


def restore_crops(
    network: Any,
    crops: Sequence[tuple[str, tuple[np.ndarray, ...]]],
    folder: Path,
    draws: int,
    temperature: float,
    quantization: str,
    seed: int,
    device: torch.device,
) -> dict[str, Any]:
    """Draw restorations of held-out crops, write ``folder``; return samples.json's content.

    A crop has a name and its sides, ``(H, W, 3)`` uint8: the target, and the input if the data set stores one.
    """
    pictures = []
    for name, sides in progress(crops, f"sample {network.config.task} {network.config.variant}"):
        _, lr = degraded(sides, network.scale, device)
        place = folder / name
        write_png(place / "reference.png", sides[0])
        write_png(place / "input.png", to_uint8(lr[0], "round"))
        write_png(place / "bicubic.png", to_uint8(imresize(lr, network.scale)[0], "round"))
        records = []
        for index, image in enumerate(draw_images(network, lr, draws, temperature, seed, name)):
            file = f"{name}/draw_{index:02d}.png"
            write_png(folder / file, to_uint8(image, quantization))
            records.append({"file": file, **value_statistics(image)})
        files = {part: f"{name}/{part}.png" for part in ("reference", "input", "bicubic")}
        pictures.append({"id": name, **files, "draws": records})
    config = network.config
    content = {
        "task": config.task,
        "variant": config.variant,
        "profile": config.profile,
        "run_key": config.run_key,
        "scale": network.scale,
        "temperature": temperature,
        "quantization": quantization,
        "pictures": pictures,
    }
    write_json(folder / "samples.json", content)
    return content


def restore_file(
    model: Path, picture: Path, out: Path, draws: int, temperature: float, seed: int, quantization: str = "round"
) -> list[Path]:
    """Restore one picture file with a model folder; write and return the draws, named after the picture.

    Raises DataError for an unreadable picture, CheckpointError for a folder that holds no model.
    """
    from pipeline.datasets.decode import Unreadable, decode
    from pipeline.model_folder import load_model

    if draws < 1 or temperature < 0:
        raise SteadyflowError(f"--draws must be 1 or more and --temperature 0 or more, got {draws} and {temperature}")
    network = load_model(model)
    if network.config.kind != "super_resolution":
        raise DataError(f"{model} holds a model of kind '{network.config.kind}', which restores nothing")
    try:
        lr = to_tensor(decode(picture).pixels).float() / 255.0
    except Unreadable as reason:
        raise DataError(f"{picture} cannot be restored: it {reason}") from None
    images = progress(
        draw_images(network, lr, draws, temperature, seed, picture.name), f"restore {picture.name}", draws
    )
    written = []
    bad = 0
    for index, image in enumerate(images):
        statistics = value_statistics(image)
        bad += bool(statistics["nonfinite_values"] or statistics["outside_values"])
        written.append(write_png(out / f"{picture.stem}_draw_{index:02d}.png", to_uint8(image, quantization)))
        write_json(written[-1].with_suffix(".json"), statistics)
    if bad:
        warn(f"{bad} of {draws} draws have values outside [-0.5, 1.5] or non-finite ones; see the .json beside each")
    return written
