"""Take raters' CSVs in: check them, count by the rule, write what was found beside the restorations."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import DataError
from pipeline.files import read_csv, write_json
from pipeline.layout import variant_folder
from pipeline.ratings.agreement import fleiss_kappa, krippendorff_alpha
from pipeline.ratings.answers import Rater, read_raters, shown
from pipeline.ratings.blinding import Blinded, hash_of, read_key
from pipeline.ratings.found import RATINGS_FILE
from pipeline.ratings.outcome import human_errors, overall_table, predicts

# column of evaluation/per_picture.csv -> what it flags
PROXIES = {"pixel_errors": "pixel errors", "errors_lr_psnr_45": "LR-PSNR under 45 dB"}


class Imported(NamedTuple):
    """What an import found: the task, per variant the content of its ratings.json, remarks for people."""

    task: str
    seed: int
    variants: dict[str, dict[str, Any]]
    remarks: list[str]


def import_ratings(root: Path, folder: Path, files: Sequence[Path]) -> Imported:
    """Count the answers in ``files`` to the export in ``folder``; write ratings.json of every variant under ``root``.

    Raters who failed the checks are left out and named, so are pictures without a rating. Raises DataError for faults
    of a CSV, restorations that are not those that were rated, and if nobody's answers remain; then nothing is written.
    """
    key = read_key(folder)
    raters = read_raters(files, key)
    attentive = [rater for rater in raters if rater.attentive]
    remarks = [
        f"left out: '{shown(rater.name)}' answered {rater.failed_checks} of {rater.checks} checks wrongly"
        for rater in raters
        if not rater.attentive
    ]
    if not attentive:
        raise DataError("every rater failed the attention checks, so nothing is left to count")
    rated = [blinded for blinded in key.pictures if not blinded.check]
    remarks += list(_missing(rated, attentive))
    variants = sorted({blinded.variant for blinded in rated})
    places = {variant: variant_folder(root, key.task, variant, key.seed) for variant in variants}
    for variant, place in places.items():
        _check_same(place / "samples", [blinded for blinded in rated if blinded.variant == variant])
    table = overall_table(key, attentive)
    overall = {
        "fleiss_kappa": fleiss_kappa(table)._asdict(),
        "krippendorff_alpha": krippendorff_alpha(table)._asdict(),
        "left_out": len(raters) - len(attentive),
    }
    found = {}
    for variant, place in places.items():
        own = human_errors(key, attentive, variant)
        origin = {"format": 1, "task": key.task, "variant": variant, "seed": key.seed, "what": key.what}
        found[variant] = {**origin, **own, "all_variants": overall, "proxies": _proxies(place, own)}
    for variant, content in found.items():
        write_json(places[variant] / RATINGS_FILE, content)
    return Imported(key.task, key.seed, found, remarks)


def _missing(rated: Sequence[Blinded], raters: Sequence[Rater]) -> list[str]:
    names = {blinded.name for blinded in rated}
    remarks = [
        f"'{shown(rater.name)}' has rated {len(names & set(rater.answers))} of {len(names)} pictures"
        for rater in raters
        if names - set(rater.answers)
    ]
    if unseen := sum(not any(name in rater.answers for rater in raters) for name in names):
        remarks.append(f"{unseen} of {len(names)} pictures were rated by nobody and do not count")
    return remarks


def _check_same(samples: Path, rated: Sequence[Blinded]) -> None:
    """Raise DataError unless every rated file is still in ``samples``."""
    there = {hash_of(path) for path in samples.glob("*/*.png")}
    if lost := sum(blinded.sha256 not in there for blinded in rated):
        raise DataError(
            f"{samples}: {lost} of {len(rated)} rated pictures are no longer there: they were drawn anew after the "
            "export; export them again and have those rated"
        )


def _proxies(place: Path, own: dict[str, Any]) -> dict[str, Any]:
    """Return per proxy how well it predicts people, over the pictures that were rated."""
    judged: dict[str, bool] = {}
    for one in own["restorations"]:
        judged[one["picture"]] = judged.get(one["picture"], False) or one["erroneous"]
    try:
        rows = {row["picture"]: row for row in read_csv(place / "evaluation" / "per_picture.csv")}
    except (OSError, ValueError, KeyError, csv.Error):
        return {}
    common = [picture for picture in judged if picture in rows]
    return {
        name: predicts([float(rows[p][name]) > 0 for p in common], [judged[p] for p in common])
        for name in PROXIES
        if common and all(rows[p].get(name) for p in common)
    }
