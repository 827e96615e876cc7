"""From what the trials found to results.json, results.csv, the figures and the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from pipeline.files import write_bytes, write_csv, write_json
from pipeline.reporting.study_page import PageFigure, PageTable, StudyPage
from pipeline.reporting.style import to_png
from pipeline.studies.density import figures
from pipeline.studies.density.claims import TABLE_1, ByVariant, Trials, comparisons, most, of_sets, spread
from pipeline.studies.density.inputs import TEST
from pipeline.studies.density.measure import CHAINED, RELIABLE, VISIBLE
from pipeline.studies.density.options import DensityOptions
from pipeline.studies.sources import DIGITS

_PICTURES = ("pictures_of_sets", "samples", "data")  # what only the figures need
_NUMBERS = (
    "train_bits_per_dim",
    "test_bits_per_dim",
    "skipped_steps",
    "parameters",
    "nonfinite",
    "outside",
    "latent_error",
    "latent_nonfinite",
    "unreliable",
    "visible",
    "condition_number",
    "smallest",
    "largest",
    "log_det_error",
    "standard_error",
    "attack_before",
    "attack_after",
    "attack_nonfinite",
)


def write_results(study: DensityOptions, out: Path, trials: Trials) -> StudyPage:
    """Write all files to ``out``, return the page."""
    kept = [{name: value for name, value in one.items() if name not in _PICTURES} for one in trials]
    write_json(
        out / "results.json",
        {"format": 1, "study": study.name, "options": dataclasses.asdict(study), "trials": kept},
    )
    sets = [f"{kind} {name}" for name in trials[0]["errors"] for kind in ("mean", "largest", "nonfinite")]
    rows = [{**{name: one[name] for name in ("variant", "seed", *_NUMBERS)}, **_flat(one["errors"])} for one in trials]
    write_csv(out / "results.csv", ("variant", "seed", *_NUMBERS, *sets), rows)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in map(_ordered, trials):
        found.setdefault(one["variant"], []).append(one)
    first = {variant: own[0] for variant, own in found.items()}
    drawn = {
        "samples": figures.samples(trials[0]["data"], {name: one["samples"] for name, one in first.items()}),
        "reconstructions": figures.reconstructions({n: one["pictures_of_sets"] for n, one in first.items()}),
        "errors": figures.errors(
            {variant: {name: [one["errors"][name] for one in own] for name in own[0]["errors"]}
             for variant, own in found.items()}
        ),
        "training": figures.watched(
            {variant: [one["watched"] for one in own] for variant, own in found.items()},
            {
                "bits_per_dim": "bits per dimension, held out",
                "error_test": "largest error, held out",
                "error_uniform": "largest error, uniform noise",
                "condition_number": "condition number, held out",
            },
            linear=("bits_per_dim",),
        ),
    }  # fmt: skip
    for name, figure in drawn.items():
        write_bytes(out / f"{name}.png", to_png(figure))
    return page(study, found)


def _ordered(trial: dict[str, Any]) -> dict[str, Any]:
    """Return ``trial`` with the held-out pictures first among its sets."""

    def first(sets: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if sets is None else dict(sorted(sets.items(), key=lambda one: one[0] != TEST))

    return {**trial, **{name: first(trial[name]) for name in ("errors", "pictures_of_sets")}}


def _flat(errors: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{kind} {name}": one[kind] for name, one in errors.items() for kind in ("mean", "largest", "nonfinite")}


def page(study: DensityOptions, found: ByVariant) -> StudyPage:
    """Return the page, from the trials of every variant."""
    digits = study.source == DIGITS
    data = "scikit-learn's digits, 8 x 8, 17 levels" if digits else "CIFAR-10"
    return StudyPage(
        name=study.name,
        title="Densities of small pictures: likelihood, and what comes back from the latent",
        question="Paper B, 4.1.1, 4.1.2, appendices D and E: Glow with three couplings, and a Residual Flow. Which of "
        "them are invertible in float32, on held-out pictures, on others, on their own samples?",
        scale=f"{data}; {study.seeds} seeds; Glow: {study.levels} levels of {study.blocks} steps, {study.steps} "
        f"updates at batch {study.batch}; residual: {study.levels} levels of {study.residual_blocks} blocks, "
        f"{study.residual_steps} updates. The paper: CIFAR-10, 3 levels of 32 steps, 100,000 updates at 64",
        found=[*_paragraphs(found), *_how_chosen(study)],
        tables=[_likelihood(found), _sets(found), _stability(found)],
        figures=[
            PageFigure(
                "samples.png",
                "Samples of the first seed, those that are not finite first; the first row is data (paper B, Fig. 5). "
                f"Values that are not finite are {figures.NOT_FINITE_NAME}.",
                "A row of samples per variant",
            ),
            PageFigure(
                "reconstructions.png",
                "Per set the picture that comes back worst, and below it what comes back (paper B, Figs. 4, 10). "
                f"Values that are not finite are {figures.NOT_FINITE_NAME}.",
                "Inputs and reconstructions per variant and set",
            ),
            PageFigure(
                "errors.png",
                "Largest finite reconstruction error per set, a ring per seed. 1e-6 is rounding.",
                "Reconstruction errors per set and variant, on an axis of powers of ten",
            ),
            PageFigure(
                "training.png",
                "Stability along the training (paper B, Fig. 9), a line per seed; a cross is a value that is not "
                "finite.",
                "Bits per dimension, reconstruction errors and condition number against updates",
            ),
        ],
        comparisons=comparisons(found, digits),
    )


def _how_chosen(study: DensityOptions) -> list[str]:
    """Return what is to be known of the demo's sizes, as long as these are they."""
    if study != type(study)():
        return []
    return [
        "How these sizes were chosen: of about seven settings of Glow this is one at which an affine flow's samples "
        "broke. With 2 levels its errors on unfamiliar pictures were 1e-5 to 5e-2, with 1 level there was no effect. "
        "So read that it can happen, not how often. The residual flow is larger: its bits per dimension are no ranking."
    ]


def _paragraphs(found: ByVariant) -> list[str]:
    lines = []
    for variant, own in found.items():
        bits = spread([one["test_bits_per_dim"] for one in own])
        worst, broken = most(of_sets(own, "largest")), mean(of_sets(own, "nonfinite"))
        lines.append(
            f"{variant}: {bits} bits per dimension, held out; largest finite error on unfamiliar inputs "
            f"{'(none)' if worst is None else format(worst, '.1e')}, {broken:.2%} of them not finite; "
            f"{mean(one['visible'] for one in own):.1%} of the samples do not come back"
        )
    return lines


def _likelihood(found: ByVariant) -> PageTable:
    rows = []
    for variant, own in found.items():
        train, test = TABLE_1.get(variant, (None, None))
        bits = [spread([one[f"{part}_bits_per_dim"] for one in own]) for part in ("train", "test")]
        marks = [_mark(own, name) for name in ("unreliable", "visible")]
        rows.append((variant, own[0]["parameters"], *bits, train, test, *marks))
    return PageTable(
        "Likelihood (paper B, Table 1)",
        ("variant", "parameters", "train", "test", "paper: train", "paper: test", "reliable", "no visible error"),
        rows,
        f"Bits per dimension, mean +- standard deviation over seeds; the paper's are of CIFAR-10. Reliable: for every "
        f"sample, forward and inverse give densities that differ by {RELIABLE:g} bits per dimension at most. No "
        f"visible error: no value of a sample changes by more than {VISIBLE:.4f} by F and back.",
    )


def _mark(own: Trials, name: str) -> str:
    if any(one[name] is None for one in own):
        return "an estimate"  # of a random log-determinant
    seeds = sum(one[name] > 0 for one in own)
    return "yes" if not seeds else f"no ({seeds} of {len(own)} seeds)"


def _sets(found: ByVariant) -> PageTable:
    rows: list[tuple[str | float | None, ...]] = []
    for name in next(iter(found.values()))[0]["errors"]:
        row: list[str | float | None] = [name]
        for own in found.values():
            errors = [one["errors"][name] for one in own]
            finite = [one["mean"] for one in errors if one["mean"] is not None]
            row += [100 * mean(one["nonfinite"] for one in errors), mean(finite) if finite else None]
        rows.append(tuple(row))
    columns = [f"{variant}: {what}" for variant in found for what in ("% inf or NaN", "error")]
    return PageTable(
        "Reconstruction errors per set (paper B, Fig. 4)",
        ("set", *columns),
        rows,
        "L2 norms per picture in a range of length 1, means of those that are finite, over all seeds; in float32.",
    )


def _stability(found: ByVariant) -> PageTable:
    columns = {
        "condition_number": "condition number",
        "log_det_error": "log-det off by (nats)",
        "nonfinite": "samples not finite",
        "outside": "values outside",
        "latent_error": "z - x - z",
        "attack_before": "error in the box",
        "attack_after": "attacked",
        "attack_nonfinite": "attacked: not finite",
    }
    rows = []
    for variant, own in found.items():
        values: list[str | float | None] = [most([one[name] for one in own]) for name in columns]
        chain = most([one["chained"][-1] for one in own])
        rows.append((variant, *values, chain))
    return PageTable(
        "Stability, the worst seed",
        ("variant", *columns.values(), f"after {CHAINED} times"),
        rows,
        "Condition number and log-determinant: from the whole Jacobian at a held-out picture, float64; a Residual "
        "Flow's own log-determinant is a mean of random estimates. Values outside: share of samples' values more than "
        "half of the range outside of it. Error in the box, attacked: largest L2 error at the centre of a training "
        "picture's dequantization box, and where the attack led (appendix E). The last column: mean squared error of a "
        "value after so many reconstructions of reconstructions. An empty field: no value is finite.",
    )
