"""Audits of how near a network is to exploding; to add an analysis: one file and one line in ANALYSES."""

from pipeline.stability.analysis import Analysis
from pipeline.stability.bad_pixels import bad_pixels
from pipeline.stability.certified_bound import certified_bound
from pipeline.stability.feature_variance import feature_variance
from pipeline.stability.reconstruction import reconstruction

ANALYSES: dict[str, Analysis] = {
    "feature_variance": feature_variance,
    "reconstruction": reconstruction,
    "bad_pixels": bad_pixels,
    "certified_bound": certified_bound,
}

__all__ = ["ANALYSES", "Analysis"]
