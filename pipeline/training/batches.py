"""Batches as a pure function of (seed, step, rank): the same after a resume and for any number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.datasets.bicubic import imresize
from pipeline.datasets.degradations import low_resolution
from pipeline.datasets.loading import CropLoader
from pipeline.seeds import generator


class Batch(NamedTuple):
    """One worker's share of a global batch, on the device that trains."""

    hr: Tensor  # (B, 3, H, W) in [0, 1]
    lr: Tensor  # (B, 3, H / scale, W / scale) in [0, 1], on an 8-bit grid as published
    noise: Tensor | None  # (B, 3, H, W), N(0, sigma^2) with sigma ~ U(0, noise_std) per image
    lr_noise: Tensor | None  # the same noise, downscaled


def training_batches(
    loader: CropLoader, start: int, stop: int, scale: int, noise_std: float, seed: int, device: torch.device
) -> Iterator[Batch]:
    """Yield the batches of steps start..stop-1; LR is the data set's own, or made for the whole batch on ``device``."""
    for step, (target, *inputs) in enumerate(loader.paired_batches(start, stop), start):
        pixels = target.to(device, non_blocking=True)
        lr = inputs[0].to(device).float() / 255.0 if inputs else low_resolution(pixels, scale)
        hr = pixels.float() / 255.0
        noise = lr_noise = None
        if noise_std > 0:
            first = step * loader.batch_size + loader.rank
            samples = range(first, first + loader.batch_size - loader.rank, loader.world_size)
            noise = torch.stack([_noise(hr.shape[1:], noise_std, seed, sample) for sample in samples]).to(device)
            lr_noise = imresize(noise, 1.0 / scale)
        yield Batch(hr, lr, noise, lr_noise)


def _noise(shape: torch.Size, noise_std: float, seed: int, sample: int) -> Tensor:
    """Return NCSR's noise for the sample with this index in the whole training."""
    source = generator("noise", seed, sample)
    sigma = noise_std * torch.rand((), generator=source)
    return sigma * torch.randn(shape, generator=source)
