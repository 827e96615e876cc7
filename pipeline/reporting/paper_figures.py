"""What paper A printed, for the columns that stand beside ours and are never mixed with them.

Source: "On the Robustness of Normalizing Flows for Inverse Problems in Imaging" (ICCV 2023), Table 1 (super-
resolution: DIV2K validation, 100 pictures; CelebA, 20,260 by the paper's count; FS-NCSR trained for 100,000 to
200,000 iterations) and Table 2 (low light: LOL, 15 pictures; VE-LOL, 100; LLFlow). The dagger marks the model whose
scale is bounded below by 0.1. The keys of ``rows`` are names of METRICS.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperTable:
    """Printed figures as text; the columns are affine, bounded scale (dagger) and RQ-spline ("Ours")."""

    source: str
    columns: tuple[str, str, str]
    rows: dict[str, tuple[str, str, str]]


_FS_NCSR = ("FS-NCSR", "FS-NCSR†", "RQ-spline")
_LLFLOW = ("LLFlow", "LLFlow†", "RQ-spline")

PAPER_TABLES: dict[str, PaperTable] = {
    "df2k_x4": PaperTable(
        "paper A, Table 1, DIV2K 4x",
        _FS_NCSR,
        {
            "errors_lr_psnr_45": ("3 of 100", "2 of 100", "0 of 100"),
            "diversity": ("26.80", "27.46", "26.99"),
            "lpips": ("0.117", "0.117", "0.119"),
        },
    ),
    "df2k_x8": PaperTable(
        "paper A, Table 1, DIV2K 8x",
        _FS_NCSR,
        {
            "errors_lr_psnr_45": ("12 of 100", "6 of 100", "0 of 100"),
            "diversity": ("26.69", "26.63", "24.35"),
            "lpips": ("0.250", "0.251", "0.255"),
        },
    ),
    "celeba_x8": PaperTable(
        "paper A, Table 1, CelebA 8x",
        _FS_NCSR,
        {
            "errors_lr_psnr_45": ("72 of 20260", "18 of 20260", "9 of 20260"),
            "errors_lr_psnr_40": ("", "", "0 of 20260"),  # the asterisk: all of the nine were above 40 dB
            "diversity": ("23.82", "23.84", "23.22"),
            "lpips": ("0.101", "0.101", "0.103"),
        },
    ),
    "lol": PaperTable(
        "paper A, Table 2, LOL",
        _LLFLOW,
        {
            "pixel_errors": ("6 of 15", "7 of 15", "0 of 15"),
            "psnr": ("20.54", "19.64", "21.01"),
            "ssim": ("0.90", "0.89", "0.90"),
            "lpips": ("0.11", "0.12", "0.11"),
        },
    ),
    "ve_lol": PaperTable(
        "paper A, Table 2, VE-LOL",
        _LLFLOW,
        {
            "pixel_errors": ("41 of 100", "33 of 100", "0 of 100"),
            "psnr": ("17.59", "18.37", "17.47"),
            "ssim": ("0.84", "0.85", "0.83"),
            "lpips": ("0.14", "0.13", "0.14"),
        },
    ),
}
