"""PSNR, SSIM and LR-PSNR on 8-bit RGB pictures ``(H, W, 3)``."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.contract import Metric, NotComputable, Picture, Pixels, mean, smallest

PSNR_CAP = 100.0  # dB; what equal pictures count as: their PSNR is infinite, which neither a mean nor JSON can hold
_MODULUS = 8  # NTIRE21 crops the reference to a multiple of 8 at every scale


def psnr(image: Pixels, reference: Pixels) -> float:
    """Return the peak signal-to-noise ratio over all RGB values in dB, data range 255; inf for equal pictures."""
    error = np.mean((image.astype(np.float64) - reference.astype(np.float64)) ** 2)
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(image: Pixels, reference: Pixels) -> float:
    """Return scikit-image's structural similarity in [-1, 1]: colour, 7x7 uniform window, sample covariance.

    This is what SRFlow's evaluation calls; it is not the 11x11 Gaussian window of Wang et al. (2004).
    """
    from skimage.metrics import structural_similarity

    return float(structural_similarity(reference, image, channel_axis=-1, data_range=255))


def lr_psnr(image: Pixels, reference: Pixels, scale: int) -> float:
    """Return the PSNR in dB between both pictures shrunk by ``scale``: NTIRE 2021's measure of consistency.

    The reference is cropped to a multiple of 8, the image to the same size, both are shrunk by MATLAB's bicubic
    in uint8 (rounded after each dimension), and all RGB values count, without a border crop.
    """
    small = _shrunk(np.stack([image, reference]), scale)
    return psnr(small[0], small[1])


def _shrunk(pictures: Pixels, scale: int) -> Pixels:
    """Return ``(B, H, W, 3)`` cropped to a multiple of 8 and shrunk by ``scale``."""
    import torch

    from pipeline.datasets.bicubic import imresize

    height, width = (side - side % _MODULUS for side in pictures.shape[1:3])
    cropped = torch.tensor(pictures[:, :height, :width]).permute(0, 3, 1, 2)
    return imresize(cropped, 1 / scale).permute(0, 2, 3, 1).numpy()


def lr_psnr_of_draws(picture: Picture) -> NDArray[np.float64]:
    """Return the LR-PSNR of every draw ``(M,)`` in dB, at most ``PSNR_CAP``."""
    if picture.scale < 2:
        raise NotComputable("LR-PSNR needs an input that is smaller than the reference")
    if min(picture.reference.shape[:2]) < _MODULUS:
        raise NotComputable(f"LR-PSNR needs a picture of at least {_MODULUS}x{_MODULUS}")
    *draws, reference = _shrunk(np.concatenate([picture.draws, picture.reference[None]]), picture.scale)
    values = [psnr(draw, reference) for draw in draws]
    return np.minimum(values, PSNR_CAP)


def _mean_psnr(picture: Picture) -> float:
    return mean([min(psnr(draw, picture.reference), PSNR_CAP) for draw in picture.draws])


def _mean_ssim(picture: Picture) -> float:
    if min(picture.reference.shape[:2]) < 7:
        raise NotComputable("SSIM needs a picture of at least 7x7")
    return mean([ssim(draw, picture.reference) for draw in picture.draws])


LR_PSNR_MEAN = Metric(
    name="lr_psnr_mean",
    title="LR-PSNR, mean of the draws",
    unit="dB",
    better="higher",
    per_picture=lambda picture: float(picture.once(lr_psnr_of_draws).mean()),
    summarise=mean,
)
LR_PSNR_WORST = Metric(
    name="lr_psnr_worst",
    title="LR-PSNR of the worst draw",
    unit="dB",
    better="higher",
    per_picture=lambda picture: float(picture.once(lr_psnr_of_draws).min()),
    summarise=smallest,
)
PSNR = Metric("psnr", "PSNR (RGB), mean of the draws", "dB", "higher", _mean_psnr, mean)
SSIM = Metric("ssim", "SSIM (colour, 7x7 uniform window), mean of the draws", "", "higher", _mean_ssim, mean)
