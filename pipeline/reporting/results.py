"""Reads what the stages left under ``artifacts/``; what is not there is named, never made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import SHIELDED, Params, TaskProfile
from pipeline.errors import DataError
from pipeline.files import read_csv, read_json
from pipeline.layout import manifest_path, variant_folder
from pipeline.model_folder import CONFIG
from pipeline.ratings.found import read_ratings
from pipeline.reporting.shapes import check_shape

# stage -> the file that says it is done
STAGE_FILES = {
    "train": "training/summary.json",
    "sample": "samples/samples.json",
    "evaluate": "evaluation/metrics.json",
    "stability": "stability/summary.json",
}
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class VariantResults:
    """The findings of one task x variant x seed; a stage that has not run is ``None`` or has no rows."""

    task: str
    variant: str
    seed: int
    folder: Path
    training: dict[str, Any] | None
    curve: Rows
    validation: Rows
    samples: dict[str, Any] | None
    evaluation: dict[str, Any] | None
    stability: dict[str, Any] | None
    shielded: str | None  # the variant inside of the shield; None: it was trained itself
    shield: dict[str, Any] | None  # the configuration of a shielded model
    ratings: dict[str, Any] | None  # by people (pipeline/ratings); no stage makes them
    tables: dict[str, Rows]  # of the audit, by the file names that the analyses say

    @property
    def missing(self) -> list[str]:
        """Return the names of the stages that have not run yet."""
        found = {"sample": self.samples, "evaluate": self.evaluation, "stability": self.stability}
        found = {"shield" if self.shielded else "train": self.made, **found}
        return [stage for stage, content in found.items() if content is None]

    @property
    def profiles(self) -> set[str]:
        """Return the profiles under which the findings were made."""
        found = (self.made, self.samples, self.evaluation, self.stability)
        return {content["profile"] for content in found if content is not None}

    @property
    def made(self) -> dict[str, Any] | None:
        """Return what says how the model was made: the summary of its training, or the shield's configuration."""
        return self.shield if self.shielded else self.training

    @property
    def run_key(self) -> str | None:
        """Return the key of the run that made the model, None if there is none."""
        return self.made["run_key"] if self.made else None


@dataclass(frozen=True)
class TaskResults:
    """All variants of one task at one seed, in the order of params.yaml, and where the pictures come from."""

    task: str
    kind: str
    seed: int
    variants: dict[str, VariantResults]
    manifest: dict[str, Any] | None
    settings: TaskProfile
    repeats: tuple[TaskResults, ...] = ()  # the same at the other seeds

    @property
    def demo(self) -> str:
        """Return what stands in for the data set, in a word or two; nothing where it is the data set itself."""
        if not self.manifest or not self.manifest["demo"]:
            return ""
        synthetic = any("synthetic" in note for note in self.manifest["notes"])
        return "synthetic low-light pairs" if synthetic else "demo pictures"


def load_results(root: Path, params: Params) -> list[TaskResults]:
    """Return what is there for all tasks and variants of ``params``: of its first seed, the others as repeats.

    Raises DataError for a file that cannot be read.
    """
    found = []
    for name in params.tasks:
        first, *others = (_task_results(root, params, name, seed) for seed in params.seeds)
        found.append(dataclasses.replace(first, repeats=tuple(others)))
    return found


def crops_and_photographs(results: TaskResults) -> tuple[int, int]:
    """Return how many crops were restored, and of how many photographs; the crops of one are named name-1, name-2."""
    drawn = [result.samples["pictures"] for result in results.variants.values() if result.samples]
    names = {entry["id"] for entry in (drawn[0] if drawn else [])}
    several = results.settings.data.validation_crops > 1
    return len(names), len({name.rpartition("-")[0] if several else name for name in names})


def number(text: str | None) -> float:
    """Return a CSV field as a number; an empty field is NaN."""
    return float(text) if text else float("nan")


def _task_results(root: Path, params: Params, name: str, seed: int) -> TaskResults:
    return TaskResults(
        name,
        params.tasks[name].kind,
        seed,
        {variant: _variant_results(root, params, name, variant, seed) for variant in params.compared},
        _read(read_json, manifest_path(root, name)),
        params.settings(name),
    )


def _variant_results(root: Path, params: Params, task: str, variant: str, seed: int) -> VariantResults:
    from pipeline.stability.analyses import ANALYSES  # torch: only when results are really read

    folder = variant_folder(root, task, variant, seed)
    shielded = variant.removesuffix(SHIELDED) if params.shield(variant) else None
    return VariantResults(
        task=task,
        variant=variant,
        seed=seed,
        folder=folder,
        training=_result(folder, "train"),
        curve=_read(read_csv, folder / "training" / "curve.csv") or [],
        validation=_read(read_csv, folder / "training" / "validation.csv") or [],
        samples=_result(folder, "sample"),
        evaluation=_result(folder, "evaluate"),
        stability=_result(folder, "stability"),
        shielded=shielded,
        shield=_read(read_json, folder / "model" / CONFIG) if shielded else None,
        ratings=_read(read_ratings, folder),
        tables={
            file: _table(folder / "stability" / file, columns)
            for analysis in ANALYSES.values()
            for file, columns in analysis.tables.items()
        },
    )


def _result(folder: Path, stage: str) -> Any:
    return _read(lambda path: check_shape(stage, read_json(path)), folder / STAGE_FILES[stage])


def _table(path: Path, columns: Sequence[str]) -> Rows:
    rows: Rows = _read(read_csv, path) or []
    if rows and (missing := [name for name in columns if name not in rows[0]]):
        raise DataError(f"{path} has no column '{missing[0]}'; run the stability stage again")
    return rows


def _read(reader: Callable[[Path], Any], path: Path) -> Any:
    try:
        return reader(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); delete it and run the same command again") from None
