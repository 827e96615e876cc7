"""The publications that the report names, by the short name that it calls them."""

from __future__ import annotations

HONG = "Hong et al., ICCV 2023"  # "paper A" in the comments of the code
BEHRMANN = "Behrmann et al., AISTATS 2021"  # "paper B"
REFERENCES = {
    HONG: (
        'S. Hong, I. Park, S. Y. Chun: "On the Robustness of Normalizing Flows for Inverse Problems in Imaging", '
        "ICCV 2023. The exploding inverse, the bounded scale (†) and the modified rational-quadratic spline."
    ),
    BEHRMANN: (
        'J. Behrmann, P. Vicol, K.-C. Wang, R. Grosse, J.-H. Jacobsen: "Understanding and Mitigating Exploding '
        'Inverses in Invertible Neural Networks", AISTATS 2021. Exploding inverses and the invertibility attack.'
    ),
    "SRFlow": (
        'A. Lugmayr, M. Danelljan, L. Van Gool, R. Timofte: "SRFlow: Learning the Super-Resolution Space with '
        'Normalizing Flow", ECCV 2020. The super-resolution flow and its affine coupling.'
    ),
    "FS-NCSR": (
        'K.-U. Song et al.: "FS-NCSR: Increasing Diversity of the Super-Resolution Space via Frequency Separation '
        'and Noise-Conditioned Normalizing Flow", CVPR Workshops 2022. The network behind the printed Table 1.'
    ),
    "LLFlow": (
        'Y. Wang et al.: "Low-Light Image Enhancement with Normalizing Flow", AAAI 2022. The network behind the '
        "printed Table 2."
    ),
    "Durkan et al. 2019": (
        'C. Durkan, A. Bekasov, I. Murray, G. Papamakarios: "Neural Spline Flows", NeurIPS 2019. The '
        "rational-quadratic spline."
    ),
    "NTIRE 2021": (
        'A. Lugmayr, M. Danelljan, R. Timofte et al.: "NTIRE 2021 Learning the Super-Resolution Space Challenge", '
        "CVPR Workshops 2021. LR-PSNR and the diversity score."
    ),
}
