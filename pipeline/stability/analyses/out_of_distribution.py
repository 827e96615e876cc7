"""Do artifacts come where the encoder's features are unlike those of photographs? (Paper A, section 3.2, Fig. 4.)

The score of a patch is the Mahalanobis distance (eqs. 11 and 12) of the tapped blocks' outputs, averaged over the
patch, from those of training patches. The network sees the whole picture, as it does when it restores one; how the
paper makes one vector of a patch it does not say.

Where no training pictures are at hand, the score of a held-out picture's patch is fitted on the patches of the other
held-out pictures, and that of a stress input's on those of all. That is few pictures: such a score ranks patches, its
size says little, and ``fitted_patches`` and ``shrinkage`` say how little.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.console import progress
from pipeline.feed.bicubic import imresize
from pipeline.pictures.eight_bit import BAD_ABOVE, BAD_BELOW
from pipeline.stability.contract import PERCENT, Analysis, Curves, Found, Number
from pipeline.stability.measure.encoder_features import patch_means, tapped_blocks
from pipeline.stability.measure.mahalanobis import Reference, fit
from pipeline.stability.measure.ranking import by_rank, ranking
from pipeline.stability.subject import IN_DISTRIBUTION, Subject, finite_or_none

PATCH_TABLE, CURVE_TABLE = "out_of_distribution.csv", "out_of_distribution_curve.csv"
_ALL, _PHOTOGRAPHS, _MEAN = "photographs and stress inputs", "photographs", "mean"
_BINS = 50  # of the curve


@dataclasses.dataclass
class _Patches:
    """The patches of one input, row by row: ``features`` (N, D), and what their draws are like."""

    condition: str
    kind: str
    name: str
    columns: int
    features: np.ndarray
    bad_shares: list[float]  # of all values of all draws
    lr_errors: list[float | None]  # of the worst draw; None where input and output are of one size
    scores: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class OutOfDistribution(Analysis):
    """Scores of patches of side ``patch`` (pixels of the restored picture), and whether artifacts follow them.

    An artifact is any bad value in the patch in any draw. ``centred``: False is the covariance as the paper prints it,
    E[u u^T] (pipeline/stability/measure/mahalanobis.py).
    """

    name: ClassVar = "out_of_distribution"
    title: ClassVar = "Out-of-distribution score"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "score_in_distribution": Number("Out-of-distribution score of patches, median, photographs", better=""),
        "score_stress": Number("Out-of-distribution score of patches, median, stress inputs", better=""),
        "artifacts_in_distribution": Number("Patches with bad values, photographs", "%", factor=PERCENT),
        "artifacts_stress": Number("Patches with bad values, stress inputs", "%", factor=PERCENT),
        "auc": Number("AUC of the out-of-distribution score for patches with bad values", better=""),
        "auc_in_distribution": Number("AUC of that score, photographs alone", better=""),
        "rank_correlation": Number("Rank correlation of that score with the share of bad values", better=""),
        "rank_correlation_in_distribution": Number("Rank correlation of that score, photographs alone", better=""),
        "rank_correlation_lr_error": Number(
            "Rank correlation of that score with the LR error, inputs without NaN", better=""
        ),
        "fitted_patches": Number("Patches that the score is fitted on", better=""),
        "shrinkage": Number("Share of their covariance that is shrunk", "%", better="", factor=PERCENT),
    }
    tables: ClassVar = {
        PATCH_TABLE: ("condition", "kind", "name", "row", "column", "score", "bad_share", "lr_error"),
        CURVE_TABLE: ("inputs", "rank", "bad_share"),
    }
    plots: ClassVar = (
        Curves(
            name="out_of_distribution",
            caption="Share of bad values in patches ranked by their out-of-distribution score, the highest first (Hong "
            "et al., ICCV 2023, Fig. 4), means over fiftieths of the ranking. Where artifacts follow the score, a line "
            "falls from the left.",
            alt="Share of bad values against the rank of the out-of-distribution score, one panel per variant",
            table=CURVE_TABLE,
            x="rank",
            y="bad_share",
            line="inputs",
            group="inputs",
            x_title="rank of the score (% of the patches)",
            y_title="share of bad values",
            reference=_MEAN,
            reference_title="mean of all patches",
            log=False,
        ),
    )
    patch: int = 32
    centred: bool = True

    def __post_init__(self) -> None:
        if self.patch < 1:
            raise ValueError(f"patch must be 1 pixel or more, got {self.patch}")

    def run(self, subject: Subject) -> Found:
        """Return how high patches score, how many have an artifact, and how well the one tells the other."""
        every = [self._patches(subject, *given) for given in progress(subject.inputs(), "out-of-distribution score")]
        training = [self._features(subject, seen) for seen in subject.training_inputs()]
        numbers: dict[str, float | None] = dict.fromkeys(self.numbers)
        reasons: dict[str, str] = {}
        try:
            reference = self._score(every, training)
            numbers |= {"fitted_patches": float(reference.patches), "shrinkage": reference.shrinkage}
        except ValueError as reason:
            reasons |= dict.fromkeys(("fitted_patches", "shrinkage"), str(reason))
        for where, some in _sides(every).items():
            shares = [share for patches in some for share in patches.bad_shares]
            scores = [score for patches in some for score in patches.scores if math.isfinite(score)]
            numbers[f"artifacts_{where}"] = sum(share > 0 for share in shares) / len(shares) if shares else None
            numbers[f"score_{where}"] = statistics.median(scores) if scores else None
            if not scores:
                reasons[f"score_{where}"] = reasons.get("fitted_patches") or _unscored(some)
            if not shares:
                reasons[f"artifacts_{where}"] = "no such input"
        for suffix, some in (("", every), ("_in_distribution", _sides(every)[IN_DISTRIBUTION])):
            found = ranking(*_scored(some, lambda patches: patches.bad_shares))
            numbers |= {f"auc{suffix}": found.auc, f"rank_correlation{suffix}": found.rank_correlation}
            reasons |= {f"{name}{suffix}": reason for name, reason in found.reasons.items()}
        errors = ranking(*_scored(every, lambda patches: patches.lr_errors))
        numbers["rank_correlation_lr_error"] = errors.rank_correlation
        if errors.rank_correlation is None:
            reasons["rank_correlation_lr_error"] = (
                errors.reasons["rank_correlation"] if subject.network.scale > 1 else "the input is of the output's size"
            )
        tables = {PATCH_TABLE: list(_rows(every)), CURVE_TABLE: _curves(every)}
        return Found(numbers, reasons, tables, said=_said(numbers, bool(training)))

    @torch.no_grad()
    def _patches(self, subject: Subject, condition: str, kind: str, name: str, seen: Tensor) -> _Patches:
        with tapped_blocks(subject.network.encoder) as maps:
            padded, shared = subject.condition(seen)
        rows, columns = self._grid(subject, padded)
        images, _ = subject.network.inverse(subject.latents(padded, name), shared)
        good = (images >= BAD_BELOW) & (images <= BAD_ABOVE)  # NaN is neither
        shares = _over_patches((~good).double().mean((0, 1), keepdim=True), rows, columns)
        errors: list[float | None] = [None] * len(shares)
        if (scale := subject.network.scale) > 1:
            again = imresize(images.clamp(0.0, 1.0), 1.0 / scale)
            per_draw = (again - padded).double().square().mean(1, keepdim=True)
            errors = [finite_or_none(error) for error in _over_patches(per_draw, rows, columns)]
        features = patch_means(maps, rows, columns).cpu().numpy()
        return _Patches(condition, kind, name, columns, features, shares, errors)

    @torch.no_grad()
    def _features(self, subject: Subject, seen: Tensor) -> np.ndarray:
        with tapped_blocks(subject.network.encoder) as maps:
            padded, _ = subject.condition(seen)
        return patch_means(maps, *self._grid(subject, padded)).cpu().numpy()

    def _grid(self, subject: Subject, padded: Tensor) -> tuple[int, int]:
        """Return into how many rows and columns of patches of about ``patch`` pixels an input is cut."""
        height, width = (max(1, size * subject.network.scale // self.patch) for size in padded.shape[2:])
        return min(height, padded.shape[2]), min(width, padded.shape[3])

    def _score(self, every: Sequence[_Patches], training: Sequence[np.ndarray]) -> Reference:
        """Score all patches; return what those of stress inputs are measured from. ValueError where nothing fits."""
        photographs = _sides(every)[IN_DISTRIBUTION]
        reference = fit(
            np.concatenate(training or [p.features for p in photographs] or [np.empty((0, 1))]), self.centred
        )
        for patches in every:
            own = reference
            if patches.condition == IN_DISTRIBUTION and not training:
                others = [other.features for other in photographs if other is not patches]
                if not others:
                    continue  # a picture says nothing of how unusual it is itself
                own = fit(np.concatenate(others), self.centred)
            patches.scores = own.distances(patches.features).tolist()
        return reference


def _over_patches(values: Tensor, rows: int, columns: int) -> list[float]:
    """Return the means of ``values``, ``(N, 1, H, W)``, over patches, row by row: of the N the largest."""
    found: list[float] = F.adaptive_avg_pool2d(values, (rows, columns)).amax((0, 1)).flatten().tolist()
    return found


def _sides(every: Sequence[_Patches]) -> dict[str, list[_Patches]]:
    sides: dict[str, list[_Patches]] = {IN_DISTRIBUTION: [], "stress": []}
    for patches in every:
        sides[IN_DISTRIBUTION if patches.condition == IN_DISTRIBUTION else "stress"].append(patches)
    return sides


def _unscored(some: Sequence[_Patches]) -> str:
    return "one picture, and no other to fit on" if some else "no such input"


def _scored(
    some: Sequence[_Patches], measured: Callable[[_Patches], Sequence[float | None]]
) -> tuple[list[float], list[float]]:
    """Return scores and what is measured of the patches that have both."""
    pairs = [
        (score, value)
        for patches in some
        for score, value in zip(patches.scores, measured(patches), strict=False)
        if math.isfinite(score) and value is not None
    ]
    return [score for score, _ in pairs], [value for _, value in pairs]


def _rows(every: Sequence[_Patches]) -> Iterator[dict[str, Any]]:
    for patches in every:
        for i, share in enumerate(patches.bad_shares):
            yield {
                "condition": patches.condition,
                "kind": patches.kind,
                "name": patches.name,
                "row": i // patches.columns,
                "column": i % patches.columns,
                "score": finite_or_none(patches.scores[i]) if patches.scores else None,
                "bad_share": share,
                "lr_error": patches.lr_errors[i],
            }


def _curves(every: Sequence[_Patches]) -> list[dict[str, Any]]:
    curves = {
        name: by_rank(*_scored(some, lambda patches: patches.bad_shares), _BINS)
        for name, some in ((_ALL, every), (_PHOTOGRAPHS, _sides(every)[IN_DISTRIBUTION]))
    }
    if _scored(every, lambda patches: patches.bad_shares)[1]:
        mean = statistics.fmean(_scored(every, lambda patches: patches.bad_shares)[1])
        curves[_MEAN] = [(0.0, mean), (100.0, mean)]
    return [
        {"inputs": name, "rank": rank, "bad_share": share} for name, points in curves.items() for rank, share in points
    ]


def _said(numbers: dict[str, float | None], trained: bool) -> str:
    if numbers["fitted_patches"] is None:
        return ""
    whose = "training" if trained else "held-out"
    said = f"out-of-distribution score fitted on {numbers['fitted_patches']:.0f} patches of {whose} pictures"
    return said if numbers["auc"] is None else f"{said}, AUC for bad patches {numbers['auc']:.3f}"
