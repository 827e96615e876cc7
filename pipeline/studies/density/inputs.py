"""What a density is asked to reconstruct: pictures as those that it learned, and others (paper B, 4.1.1 and Fig. 4).

All are ``(N, C, H, W)`` float32 in [0, 1]. Pictures of any origin are dequantized as the training's are, and the noisy
picture is what has to come back, as in the released code; noise is not. The code clips noise to [0.01, 0.99] for Glow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.datasets.catalogue import DATASETS
from pipeline.datasets.contract import Wanted
from pipeline.datasets.photographs import packaged_photographs
from pipeline.datasets.sets.picture_folders import Textures
from pipeline.errors import ConfigError, DataError, nearest
from pipeline.pictures.decode import Unreadable, decode
from pipeline.pictures.folders import shown
from pipeline.seeds import generator
from pipeline.studies.small_pictures import Pictures, dequantize

TEST = "test"  # the name of what is in distribution
_EDGE = 0.01
_COARSER = 4  # photographs are shrunk by so much before they are cut up


def inputs(pictures: Pictures, count: int, others: Mapping[str, Path]) -> dict[str, Tensor]:
    """Return ``count`` pictures per set, by name, the held-out ones first. ``others``: folders of other data sets."""
    found = {TEST: pictures.test[:count]}
    found["inverted"] = pictures.levels - 1 - pictures.test[:count]
    found |= {name: _pieces(files(), pictures, count) for name, files in _CARRIED.items()}
    found |= {name: _pieces(_of_folder(name, folder, count), pictures, count) for name, folder in others.items()}
    drawn = {name: dequantize(one, pictures.levels, generator("density", name)) for name, one in found.items()}
    made = {name: draw((count, *pictures.shape), generator("density", name)) for name, draw in _NOISE.items()}
    return drawn | {"constant": _constant(pictures, count)} | made


def other_sets(text: str) -> dict[str, Path]:
    """Return data set -> folder of ``NAME=FOLDER,...``; ConfigError or DataError for what is not there."""
    found = {}
    for one in filter(None, text.split(",")):
        name, _, folder = one.partition("=")
        if name not in DATASETS:
            raise ConfigError(f"--others: unknown data set '{name}'; {nearest(name, DATASETS)}")
        path = Path(folder).expanduser()
        if not folder or not path.is_dir():
            raise DataError(f"--others: {name} is to be in '{folder}', and there is no such folder; give {name}=FOLDER")
        found[name] = path
    return found


def _uniform(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=source).clamp(_EDGE, 1 - _EDGE)


def _gaussian(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    return (0.5 + torch.randn(shape, generator=source)).clamp(_EDGE, 1 - _EDGE)


def _rademacher(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    return torch.randint(2, shape, generator=source).float().clamp(_EDGE, 1 - _EDGE)


_NOISE: dict[str, Callable[[tuple[int, ...], torch.Generator], Tensor]] = {
    "uniform": _uniform,
    "gaussian": _gaussian,
    "rademacher": _rademacher,
}


def _constant(pictures: Pictures, count: int) -> Tensor:
    """Return pictures of one value each, from the darkest to the brightest level's middle."""
    ends = 0.5 / pictures.levels
    return torch.linspace(ends, 1 - ends, count)[:, None, None, None].repeat(1, *pictures.shape)


def _photographs() -> list[np.ndarray]:
    return [decode(one.content).pixels for one in packaged_photographs().pictures]


def _textures() -> list[np.ndarray]:
    return [decode(one.content).pixels for one in Textures().demo().pictures]


_CARRIED: dict[str, Callable[[], list[np.ndarray]]] = {"photographs": _photographs, "textures": _textures}


def _of_folder(name: str, folder: Path, count: int) -> list[np.ndarray]:
    listed = [one for one in DATASETS[name].folder(folder, Wanted()).pictures if one.split == "validation"]
    if not listed:
        raise DataError(f"--others: {shown(folder)} holds no held-out pictures of {name}")
    order = torch.randperm(len(listed), generator=generator("density", name, "which")).tolist()
    found = []
    for place in order[:count]:
        try:
            found.append(decode(listed[place].content).pixels)
        except Unreadable as error:
            raise DataError(f"--others: {name}: {listed[place].origin}: {error}") from None
    return found


def _pieces(files: list[np.ndarray], pictures: Pictures, count: int) -> Tensor:
    """Return ``count`` squares of the pictures' size, channels and levels, cut at random places, whole numbers.

    Pictures that are much larger are shrunk first, by averaging; those as large as the pictures are taken whole.
    """
    channels, height, width = pictures.shape
    source = generator("density", "pieces")
    found = []
    for number in range(count):
        pixels = torch.from_numpy(files[number % len(files)].copy()).permute(2, 0, 1)[None].float()
        if channels == 1:
            pixels = (pixels * pixels.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
        smaller = (max(height, pixels.shape[2] // _COARSER), max(width, pixels.shape[3] // _COARSER))
        if smaller != tuple(pixels.shape[2:]):
            pixels = F.adaptive_avg_pool2d(pixels, smaller)
        top, left = (
            int(torch.randint(there - side + 1, (), generator=source))
            for side, there in zip((height, width), pixels.shape[2:], strict=True)
        )
        piece = pixels[0, :, top : top + height, left : left + width]
        found.append((piece / 256 * pictures.levels).floor().clamp(max=pictures.levels - 1).byte())
    return torch.stack(found)
