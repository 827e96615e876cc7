"""The prepared pictures that a run works with, as MLflow's data sets: by the manifest's hash, without any picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.feed.manifest import Split, read_manifest
from pipeline.files import sha256_of
from pipeline.layout import manifest_path

# What a stage uses the pictures for, in MLflow's words, and which ones; other stages read none.
_USES: dict[str, tuple[str, Split]] = {
    "train": ("training", "train"),
    "shield": ("training", "train"),  # what it is calibrated on
    "sample": ("evaluation", "validation"),
    "evaluate": ("evaluation", "validation"),
    "stability": ("evaluation", "validation"),
}
_DIGEST = 32  # characters of the hash; MLflow takes 36


@dataclass(frozen=True)
class DataSet:
    """``name`` and ``digest`` tell it from others; ``source`` is where its manifest lies below the project's root.

    ``context`` is ``training`` or ``evaluation``, ``profile`` what MLflow shows of it.
    """

    name: str
    digest: str
    source: str
    context: str
    profile: Mapping[str, str | int | bool]


def data_of(root: Path, task: str, stage: str) -> DataSet | None:
    """Return the pictures of ``task`` that ``stage`` works with; None if it reads none or there are none.

    The digest is the beginning of the manifest's SHA-256, as in the tag steadyflow.data_sha256, and so the same for
    both splits. Raises DataError for a damaged manifest.
    """
    path = manifest_path(root, task)
    if stage not in _USES or not path.is_file():
        return None
    context, split = _USES[stage]
    manifest = read_manifest(path)
    profile: dict[str, str | int | bool] = {
        **{"dataset": manifest.dataset, "licence": manifest.licence, "demo": manifest.demo},
        **{"pictures": len(manifest.of(split)), "inputs": len(manifest.of(split, "input"))},
    }
    source = path.relative_to(root).as_posix()
    return DataSet(f"{task} {split}", sha256_of(path)[:_DIGEST], source, context, profile)
