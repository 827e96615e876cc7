"""All metrics of all pictures of one task x variant, and of the baseline beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.console import progress
from pipeline.errors import DataError
from pipeline.files import write_csv, write_json
from pipeline.metrics import METRICS, metrics_of
from pipeline.metrics.contract import ESTIMATES, Aspect, NotComputable, Picture, Pixels
from pipeline.metrics.lpips_net import LpipsNet, load_lpips
from pipeline.metrics.samples import SampledPicture, Samples, load_samples
from pipeline.origin import origin_of
from pipeline.pictures.decode import read_picture

if TYPE_CHECKING:
    import torch

Measured = dict[str, Any]  # of one picture: "picture" and one number or None per metric


@dataclass(frozen=True)
class Evaluation:
    """What evaluation/ holds; a metric that has no value is None and has its reason in ``reasons``.

    The reason of a missing value of the baseline stands under ``baseline.<metric>``.
    """

    samples: Samples
    per_picture: list[Measured]
    metrics: dict[str, float | None]
    baseline: dict[str, float | None]
    reasons: dict[str, str]

    def missing(self) -> dict[str, list[str]]:
        """Return why metrics of the draws have no value: reason and their names."""
        found: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            if not name.startswith("baseline."):
                found.setdefault(reason, []).append(name)
        return found

    def write(self, folder: Path) -> None:
        """Write ``metrics.json`` and ``per_picture.csv`` as docs/architecture.md says."""
        write_csv(folder / "per_picture.csv", ["picture", *self.metrics], self.per_picture)
        content = {
            **origin_of(self.samples),
            "pictures": len(self.per_picture),
            "draws": len(self.samples.pictures[0].draws),
            "metrics": self.metrics,
            "baseline": self.baseline,
            "reasons": self.reasons,
        }
        write_json(folder / "metrics.json", content)


def evaluate(folder: Path, task: str, variant: str, device: torch.device | str = "cpu") -> Evaluation:
    """Return every metric of the draws in ``folder`` (the output of the sample stage).

    Raises DataError if the samples are missing, damaged or of another task or variant. Where LPIPS' weights cannot
    be had, what builds on them is None with the reason.
    """
    samples = load_samples(folder, task, variant)
    lpips = _lpips_or_reason(device)
    reasons: dict[str, str] = {}
    rows, baseline_rows = [], []
    for entry in progress(samples.pictures, f"evaluate {task} {variant}"):
        drawn, baseline = _read(folder, entry, samples.scale, lpips)
        rows.append(_measure(samples.aspect, drawn, reasons, ""))
        baseline_rows.append(_measure(samples.aspect, baseline, reasons, "baseline."))
    return Evaluation(samples, rows, _summary(rows), _summary(baseline_rows), reasons)


def _lpips_or_reason(device: torch.device | str) -> LpipsNet | str:
    try:
        return load_lpips(device)
    except DataError as error:
        return f"LPIPS' weights are not to be had: {error}"


def _read(folder: Path, entry: SampledPicture, scale: int, lpips: LpipsNet | str) -> tuple[Picture, Picture]:
    """Return what was drawn for one picture, and its baseline as if it were a single draw and all estimates."""
    reference = read_picture(folder, entry.reference)

    def read(files: dict[str, str | None]) -> dict[str, Pixels]:
        return {name: read_picture(folder, file, like=reference) for name, file in files.items() if file}

    draws = np.stack([read_picture(folder, draw.file, like=reference) for draw in entry.draws])
    estimates = read({name: getattr(entry, name) for name in ESTIMATES})
    baseline = read({name: entry.baseline_gain if name.endswith("_gain") else entry.baseline for name in ESTIMATES})
    statistics = tuple(draw.statistics() for draw in entry.draws)
    return (
        Picture(entry.id, reference, draws, estimates, scale, statistics, lpips),
        Picture(entry.id, reference, baseline["draws_mean"][None], baseline, scale, None, lpips),
    )


def _measure(aspect: Aspect, picture: Picture, reasons: dict[str, str], prefix: str) -> Measured:
    row: Measured = {"picture": picture.name}
    for name, metric in metrics_of(aspect).items():
        try:
            row[name] = metric.per_picture(picture)
        except NotComputable as reason:
            row[name] = None
            reasons.setdefault(prefix + name, f"{picture.name}: {reason}")
    return row


def _summary(rows: list[Measured]) -> dict[str, float | None]:
    """Return one value per metric; None if any picture lacks it, since a mean over fewer would not compare."""
    columns: Mapping[str, list[float | None]] = {
        name: [row[name] for row in rows] for name in rows[0] if name != "picture"
    }
    return {
        name: None if any(value is None for value in values) else METRICS[name].summarise(values)  # type: ignore[arg-type]
        for name, values in columns.items()
    }
