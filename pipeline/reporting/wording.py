"""What people read about a kind of restoration, and which of its figures and pictures come first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """Words and choices for one kind; ``main`` names rows of the comparison and how the terminal calls them.

    ``estimates``: files of samples.json that the report shows before the first draws, and their captions.
    """

    title: str  # {scale} is filled in
    group: str  # of its metrics in MLflow
    input: str
    baseline: str
    estimates: dict[str, str]
    main: dict[str, str]


_AUDIT_AND_TRAINING = {
    "verdict.level": "verdict",
    "bad_pixels.bad_share_stress": "bad values, stress",
    "certified_bound.value": "certified bound",
    "validation_bits_per_dim": "NLL, held out",
    "minutes": "training",
}
_PLAIN_MAIN = {"lpips": "LPIPS", "diversity": "diversity", "pixel_errors": "pixel errors", **_AUDIT_AND_TRAINING}
WORDING: dict[str, Wording] = {
    "super_resolution": Wording(
        title="super-resolution, {scale}x",
        group="sr",
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
        group="low_light",
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


def wording_of(kind: str) -> Wording:
    """Return the words for ``kind``; one that has none of its own here is called by its name."""
    own = Wording(
        title=kind.replace("_", " "), group=kind, input="input", baseline="baseline", estimates={}, main=_PLAIN_MAIN
    )
    return WORDING.get(kind, own)
