"""What paper A printed, for the columns that stand beside ours and are never mixed with them.

Source: "On the Robustness of Normalizing Flows for Inverse Problems in Imaging" (ICCV 2023), Table 1 (super-
resolution: DIV2K validation, 100 pictures; CelebA, 20,260 by the paper's count; FS-NCSR trained for 100,000 to
200,000 iterations) and Table 2 (low light: LOL, 15 pictures; VE-LOL, 100; LLFlow). The dagger marks the model whose
scale is bounded below by 0.1. The keys of ``rows`` are names of METRICS, and ``HUMAN_ERRORS``, which has a
value of ours once people have rated (pipeline/ratings).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.reporting.references import HONG

Figures = tuple[str, str, str]


@dataclass(frozen=True)
class PaperTable:
    """Printed figures as text; the columns are affine, bounded scale (dagger) and RQ-spline ("Ours")."""

    number: int
    source: str
    columns: Figures
    rows: dict[str, Figures]


_FS_NCSR = ("FS-NCSR", "FS-NCSR†", "RQ-spline")
_LLFLOW = ("LLFlow", "LLFlow†", "RQ-spline")
HUMAN_ERRORS = "human_errors"

# What each table leaves open, and where its figures therefore stand.
NOTES = {
    1: "The asterisk of the table, all of CelebA's nine errors above 40 dB, is our row for 40 dB.",
    2: (
        "The paper does not say which of LLFlow's two sampling schemes its PSNR, SSIM and LPIPS are of, nor whether "
        "they use LLFlow's gain to the brightness of the ground truth. Its text presents results of the mean of 10 "
        "draws, and its 20.54 dB for LLFlow on LOL is near what users of LLFlow report without the gain (21.15 dB) and "
        "far from the 25.19 dB that LLFlow published with it. So, by inference, its figures stand beside ours for the "
        "mean of the draws without gain. LLFlow's code measures SSIM in grey, and so does the row beside the paper's."
    ),
}

PAPER_TABLES: dict[str, PaperTable] = {
    "df2k_x4": PaperTable(
        1,
        f"{HONG}, Table 1, DIV2K 4x",
        _FS_NCSR,
        {
            "errors_lr_psnr_45": ("3 of 100", "2 of 100", "0 of 100"),
            "diversity": ("26.80", "27.46", "26.99"),
            "lpips": ("0.117", "0.117", "0.119"),
        },
    ),
    "df2k_x8": PaperTable(
        1,
        f"{HONG}, Table 1, DIV2K 8x",
        _FS_NCSR,
        {
            "errors_lr_psnr_45": ("12 of 100", "6 of 100", "0 of 100"),
            "diversity": ("26.69", "26.63", "24.35"),
            "lpips": ("0.250", "0.251", "0.255"),
        },
    ),
    "celeba_x8": PaperTable(
        1,
        f"{HONG}, Table 1, CelebA 8x",
        _FS_NCSR,
        {
            "errors_lr_psnr_45": ("72 of 20260", "18 of 20260", "9 of 20260"),
            "errors_lr_psnr_40": ("", "", "0 of 20260"),  # the asterisk: all of the nine were above 40 dB
            "diversity": ("23.82", "23.84", "23.22"),
            "lpips": ("0.101", "0.101", "0.103"),
        },
    ),
    "lol": PaperTable(
        2,
        f"{HONG}, Table 2, LOL",
        _LLFLOW,
        {
            HUMAN_ERRORS: ("5 of 15", "2 of 15", "0 of 15"),
            "pixel_errors": ("6 of 15", "7 of 15", "0 of 15"),
            "psnr_draws_mean": ("20.54", "19.64", "21.01"),
            "ssim_grey_draws_mean": ("0.90", "0.89", "0.90"),
            "lpips_draws_mean": ("0.11", "0.12", "0.11"),
        },
    ),
    "ve_lol": PaperTable(
        2,
        f"{HONG}, Table 2, VE-LOL",
        _LLFLOW,
        {
            HUMAN_ERRORS: ("17 of 100", "5 of 100", "0 of 100"),
            "pixel_errors": ("41 of 100", "33 of 100", "0 of 100"),
            "psnr_draws_mean": ("17.59", "18.37", "17.47"),
            "ssim_grey_draws_mean": ("0.84", "0.85", "0.83"),
            "lpips_draws_mean": ("0.14", "0.13", "0.14"),
        },
    ),
}
