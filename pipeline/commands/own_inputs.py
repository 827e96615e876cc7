"""Degraded pictures that a user has, as further inputs of an audit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipeline.console import say, warn
from pipeline.errors import DataError
from pipeline.inference.reference_pairs import named_pictures
from pipeline.kinds import Kind
from pipeline.pictures.decode import Unreadable, decode
from pipeline.pictures.eight_bit import to_tensor
from pipeline.pictures.folders import safe_id, shown
from pipeline.stability.stress import OWN, StressInput

LARGEST = 96  # pixels of a side; larger pictures are cropped to it in their centre


def own_inputs(place: Path, kind: Kind, device: torch.device) -> list[StressInput]:
    """Return the pictures of a folder, or one file, as a network of ``kind`` sees them.

    Each is called ``own_`` and its name, made safe for file names. One that cannot be read is told and left out.
    DataError for a place without any that can.
    """
    found, cropped = [], []
    files = named_pictures(place, "--inputs")
    for stem, file in files.items():
        try:
            pixels = decode(file).pixels
        except Unreadable as reason:
            warn(f"{shown(file.name)} is left out: {reason}")
            continue
        if max(pixels.shape[:2]) > LARGEST:
            cropped.append(file)
        found.append(StressInput(f"{OWN}_{safe_id(stem)}", OWN, _seen(pixels, kind, device)))
    if not found:
        raise DataError(f"--inputs {place}: none of {len(files)} pictures can be read")
    if cropped:
        say(f"{len(cropped)} of {len(found)} own pictures are larger than {LARGEST} pixels: their centre is audited")
    return found


def _seen(pixels: np.ndarray, kind: Kind, device: torch.device) -> torch.Tensor:
    """Return what a network sees of the centre; an equalized histogram is of the whole picture."""
    if not kind.equalized:
        pixels = pixels[_centre(pixels.shape[0]), _centre(pixels.shape[1])]
    seen = kind.from_picture(to_tensor(pixels).to(device))
    return seen[:, :, _centre(seen.shape[2]), _centre(seen.shape[3])]


def _centre(size: int) -> slice:
    first = max(0, size - LARGEST) // 2
    return slice(first, first + LARGEST)
