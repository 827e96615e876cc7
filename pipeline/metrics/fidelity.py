"""PSNR, SSIM and LR-PSNR on 8-bit RGB pictures ``(H, W, 3)``."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.contract import Metric, NotComputable, Picture, Pixels, mean, smallest

PSNR_CAP = 100.0  # dB; what equal pictures count as: their PSNR is infinite, which neither a mean nor JSON can hold
_SSIM_WINDOW = 7
_MODULUS = 8  # NTIRE21 crops the reference to a multiple of 8 at every scale


def psnr(image: Pixels, reference: Pixels) -> float:
    """Return the peak signal-to-noise ratio over all RGB values in dB, data range 255; inf for equal pictures."""
    error = np.mean((image.astype(np.float64) - reference.astype(np.float64)) ** 2)
    return 10 * math.log10(255**2 / error) if error else math.inf


def capped_psnr(image: Pixels, reference: Pixels) -> float:
    """Return the PSNR in dB, at most ``PSNR_CAP``."""
    return min(psnr(image, reference), PSNR_CAP)


def ssim_colour(image: Pixels, reference: Pixels) -> float:
    """Return scikit-image's structural similarity in [-1, 1]: colour, 7x7 uniform window, sample covariance.

    This is what SRFlow's evaluation calls; it is not the 11x11 Gaussian window of Wang et al. (2004). Raises
    NotComputable for a picture smaller than the window.
    """
    _refuse_small(reference)
    from skimage.metrics import structural_similarity

    return float(structural_similarity(reference, image, channel_axis=-1, data_range=255))


def ssim_grey(image: Pixels, reference: Pixels) -> float:
    """Return the same of both pictures in 8-bit grey (ITU-R BT.601), which is what LLFlow's evaluation calls.

    It comes out higher than in colour: errors of hue do not count. Raises NotComputable for a picture smaller than
    the window.
    """
    _refuse_small(reference)
    import cv2
    from skimage.metrics import structural_similarity

    grey, wanted = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (image, reference))
    return float(structural_similarity(wanted, grey, data_range=255))


def _refuse_small(reference: Pixels) -> None:
    if min(reference.shape[:2]) < _SSIM_WINDOW:
        raise NotComputable(f"SSIM needs a picture of at least {_SSIM_WINDOW}x{_SSIM_WINDOW}")


def _shrunk(pictures: Pixels, scale: int) -> Pixels:
    """Return ``(B, H, W, 3)`` cropped to a multiple of 8 and shrunk by ``scale``."""
    import torch

    from pipeline.feed.bicubic import imresize

    height, width = (side - side % _MODULUS for side in pictures.shape[1:3])
    cropped = torch.tensor(pictures[:, :height, :width]).permute(0, 3, 1, 2)
    return imresize(cropped, 1 / scale).permute(0, 2, 3, 1).numpy()


def lr_psnr_of_draws(picture: Picture) -> NDArray[np.float64]:
    """Return the LR-PSNR of every draw ``(M,)`` in dB, at most ``PSNR_CAP``: NTIRE 2021's measure of consistency.

    Both pictures are cropped to a multiple of 8 and shrunk by MATLAB's bicubic in uint8 (rounded after each
    dimension); all RGB values count, without a border crop. Raises NotComputable where there is no smaller input.
    """
    if picture.scale < 2:
        raise NotComputable("LR-PSNR needs an input that is smaller than the reference")
    if min(picture.reference.shape[:2]) < _MODULUS:
        raise NotComputable(f"LR-PSNR needs a picture of at least {_MODULUS}x{_MODULUS}")
    *draws, reference = _shrunk(np.concatenate([picture.draws, picture.reference[None]]), picture.scale)
    values = [psnr(draw, reference) for draw in draws]
    return np.minimum(values, PSNR_CAP)


def _mean_psnr(picture: Picture) -> float:
    return mean([capped_psnr(draw, picture.reference) for draw in picture.draws])


def _mean_ssim(picture: Picture) -> float:
    return mean([ssim_colour(draw, picture.reference) for draw in picture.draws])


LR_PSNR_MEAN = Metric(
    name="lr_psnr_mean",
    title="LR-PSNR, averaged over the draws",
    unit="dB",
    better="higher",
    per_picture=lambda picture: float(picture.once(lr_psnr_of_draws).mean()),
    summarise=mean,
    aspect="draws",
)
LR_PSNR_WORST = Metric(
    name="lr_psnr_worst",
    title="LR-PSNR of the worst draw",
    unit="dB",
    better="higher",
    per_picture=lambda picture: float(picture.once(lr_psnr_of_draws).min()),
    summarise=smallest,
    aspect="draws",
)
PSNR = Metric(
    name="psnr",
    title="PSNR (RGB), averaged over the draws",
    unit="dB",
    better="higher",
    per_picture=_mean_psnr,
    summarise=mean,
    aspect="draws",
)
SSIM = Metric(
    name="ssim_colour",
    title="SSIM (colour, 7x7 uniform window), averaged over the draws",
    unit="",
    better="higher",
    per_picture=_mean_ssim,
    summarise=mean,
    aspect="draws",
)
