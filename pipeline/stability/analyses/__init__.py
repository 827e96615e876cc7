"""Audits of how near a network is to exploding; to add an analysis: one file and one line in ANALYSES."""

from collections.abc import Mapping

from pipeline.errors import brief, nearest
from pipeline.stability.analyses.attack import Attack
from pipeline.stability.analyses.bad_pixels import BadPixels
from pipeline.stability.analyses.certified_bound import CertifiedBound
from pipeline.stability.analyses.draw_attack import DrawAttack
from pipeline.stability.analyses.feature_maps import FeatureMaps
from pipeline.stability.analyses.feature_variance import FeatureVariance
from pipeline.stability.analyses.gradient_angle import GradientAngle
from pipeline.stability.analyses.lipschitz import Lipschitz
from pipeline.stability.analyses.out_of_distribution import OutOfDistribution
from pipeline.stability.analyses.pushed_features import PushedFeatures
from pipeline.stability.analyses.reconstruction import Reconstruction
from pipeline.stability.analyses.reconstruction_by_depth import ReconstructionByDepth
from pipeline.stability.analyses.spectrum import Spectrum
from pipeline.stability.contract import Analysis, Option

ANALYSES: dict[str, type[Analysis]] = {
    analysis.name: analysis
    for analysis in (
        BadPixels,
        FeatureVariance,
        FeatureMaps,
        Reconstruction,
        ReconstructionByDepth,
        Attack,
        CertifiedBound,
        DrawAttack,
        GradientAngle,
        Lipschitz,
        Spectrum,
        PushedFeatures,
        OutOfDistribution,
    )
}


def cheap() -> dict[str, dict[str, Option]]:
    """Return the selection of all analyses that take seconds."""
    return {name: {} for name, analysis in ANALYSES.items() if analysis.cost == "seconds"}


def chosen(selection: Mapping[str, Mapping[str, Option]]) -> list[Analysis]:
    """Return the analyses of ``selection`` (name -> options) in the order of ANALYSES.

    Raises ValueError, which names the nearest one, for an analysis or an option that does not exist.
    """
    for name in selection:
        if name not in ANALYSES:
            raise ValueError(f"analysis {brief(name)} does not exist; {nearest(name, ANALYSES)}")
    found = []
    for name, analysis in ANALYSES.items():
        if name in selection:
            try:
                found.append(analysis.with_options(selection[name]))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    return found


__all__ = ["ANALYSES", "Analysis", "cheap", "chosen"]
