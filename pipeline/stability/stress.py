"""Stress inputs: LR images no photograph resembles, on which published flows explode (paper A, section 3.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.resources import files

import torch
from torch import Tensor

from pipeline.kinds import Kind
from pipeline.seeds import generator

OWN = "own"  # the kind of inputs that somebody has, audited beside these
_TEXTURES = ("brick", "grass", "gravel")  # grey photographs inside scikit-image


@dataclasses.dataclass(frozen=True)
class StressInput:
    """What a network sees, ``(1, C, h, w)``: for super-resolution an LR image in [0, 1]."""

    name: str
    kind: str
    seen: Tensor


def _noise(draw: Callable[[torch.Generator, int], Tensor]) -> Callable[[int, int, list[Tensor]], list[Tensor]]:
    def make(size: int, seed: int, photographs: list[Tensor]) -> list[Tensor]:
        return [draw(generator("stress", seed, index), size) for index in range(2)]

    return make


def _uniform(source: torch.Generator, size: int) -> Tensor:
    return torch.rand(3, size, size, generator=source)


def _gaussian(source: torch.Generator, size: int) -> Tensor:
    return (0.5 + torch.randn(3, size, size, generator=source)).clamp(0.0, 1.0)


def _binary(source: torch.Generator, size: int) -> Tensor:
    return torch.rand(3, size, size, generator=source).round()


def _checkerboard(size: int, seed: int, photographs: list[Tensor]) -> list[Tensor]:
    row = torch.arange(size)
    boards = [((row[:, None] // period + row[None, :] // period) % 2).float() for period in (1, 2, 4)]
    return [board.expand(3, size, size) for board in boards]


def _saturated(size: int, seed: int, photographs: list[Tensor]) -> list[Tensor]:
    colours = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    return [torch.tensor(colour)[:, None, None].expand(3, size, size) for colour in colours]


def _texture(size: int, seed: int, photographs: list[Tensor]) -> list[Tensor]:
    import numpy as np
    from PIL import Image

    crops = []
    for name in _TEXTURES:
        with files("skimage").joinpath("data", f"{name}.png").open("rb") as file:
            grey = torch.from_numpy(np.array(Image.open(file).convert("L"))).float() / 255.0
        crops.append(grey[:size, :size].expand(3, -1, -1))  # full resolution: more detail than an LR photograph
    return crops


def _extreme_contrast(size: int, seed: int, photographs: list[Tensor]) -> list[Tensor]:
    return [((photo - photo.mean()) * 20.0 + 0.5).clamp(0.0, 1.0) for photo in photographs[:2]]


def _near_black(size: int, seed: int, photographs: list[Tensor]) -> list[Tensor]:
    return [photo * 0.02 for photo in photographs[:2]]


# kind -> (side in LR pixels, seed, held-out LR photographs) -> images (3, h, w) in [0, 1]
STRESS: dict[str, Callable[[int, int, list[Tensor]], list[Tensor]]] = {
    "uniform_noise": _noise(_uniform),
    "gaussian_noise": _noise(_gaussian),
    "binary_noise": _noise(_binary),
    "checkerboard": _checkerboard,
    "saturated": _saturated,
    "texture": _texture,
    "extreme_contrast": _extreme_contrast,
    "near_black": _near_black,
}


def stress_inputs(
    size: int, seed: int, photographs: list[Tensor], kind: Kind, device: torch.device
) -> list[StressInput]:
    """Return all stress inputs as a network of ``kind`` sees them; ``photographs`` are inputs of held-out pictures.

    A stress input is an 8-bit picture, as a user's file would be.
    """
    plain = [kind.shown(photo)[0, :, :size, :size].cpu() for photo in photographs]
    return [
        StressInput(f"{name}_{index}", name, kind.from_picture((image[None] * 255.0).round().byte()).to(device))
        for name, make in STRESS.items()
        for index, image in enumerate(make(size, seed, plain), 1)
    ]
