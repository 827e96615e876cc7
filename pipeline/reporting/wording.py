"""What people read about a kind of restoration, and which of its figures and pictures come first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """Words and choices for one kind; ``main`` names rows of the comparison and how the terminal calls them.

    ``estimates``: files of samples.json that the report shows before the first draws, and their captions.
    """

    title: str  # {scale} is filled in
    input: str
    baseline: str
    estimates: dict[str, str]
    main: dict[str, str]


_AUDIT_AND_TRAINING = {
    "bad_pixels.bad_share_stress": "bad values, stress",
    "certified_bound.value": "certified bound",
    "validation_bits_per_dim": "NLL, held out",
    "minutes": "training",
}
WORDING: dict[str, Wording] = {
    "super_resolution": Wording(
        title="super-resolution, {scale}x",
        input="input, enlarged",
        baseline="bicubic",
        estimates={},
        main={
            "lpips": "LPIPS",
            "diversity": "diversity",
            "lr_psnr_worst": "worst LR-PSNR",
            "errors_lr_psnr_45": "under 45 dB",
            "pixel_errors": "pixel errors",
            "psnr": "PSNR",
            "ssim_colour": "SSIM",
            **_AUDIT_AND_TRAINING,
        },
    ),
    "low_light": Wording(
        title="low-light enhancement",
        input="input",
        baseline="equalized histogram",
        estimates={"latent_mean": "latent's mean", "draws_mean": "mean of the draws"},
        main={
            "psnr_latent_mean": "PSNR, latent's mean",
            "psnr_draws_mean": "PSNR, draws' mean",
            "ssim_grey_draws_mean": "SSIM grey, draws' mean",
            "lpips_draws_mean": "LPIPS, draws' mean",
            "pixel_errors": "pixel errors",
            **_AUDIT_AND_TRAINING,
        },
    ),
}
