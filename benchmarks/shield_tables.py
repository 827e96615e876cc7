"""Tables of what benchmarks/shield.py measured."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import shield
from cells import (
    SUPER_RESOLUTION,
    VARIANTS,
    Row,
    both,
    column,
    grouped,
    header,
    largest,
    line,
    mean,
    percent,
    size,
    span,
)

from pipeline.params import load_params

STRESS = ("bad_share_stress", "largest_stress")
QUANTILE = f"{load_params(Path(__file__).parents[1] / 'params.yaml').shields['affine'].quantile:g}"  # the demo's
DEMO = [(name, shielded) for shielded in (False, True) for name in VARIANTS if name != "shift_alone"][:-1]
BOUNDED = {"shift_alone": "the shift", "slopes_alone": "the slopes", "certified_spline": "both"}


def _demo(rows: list[Row]) -> list[Row]:
    """Return the rows of models as trained, and with the shield that params.yaml has."""
    own = [row for row in rows if row["calibrated_on"] in ("", shield.OWN) and row["tails"] != "no"]
    return [row for row in own if row["quantile"] in (shield.TRAINED, QUANTILE)]


def _three_seeds(rows: list[Row]) -> Iterator[tuple[str, str, list[Row], list[Row]]]:
    """Return task, variant, and the rows as trained and shielded, seeds in the same order."""
    for (task, of_task), (variant, shown) in itertools.product(grouped(_demo(rows), "task"), VARIANTS.items()):
        of = sorted((row for row in of_task if row["variant"] == variant), key=lambda row: row["seed"])
        trained = [row for row in of if row["quantile"] == shield.TRAINED]
        shielded = [row for row in of if row["quantile"] != shield.TRAINED]
        if trained and [row["seed"] for row in trained] == [row["seed"] for row in shielded]:
            yield task, shown, trained, shielded


def safety(rows: list[Row]) -> Iterator[str]:
    """Return what was found of explosions, the worst of all seeds."""
    yield from header(
        (
            *("task", "variant", "bad on stress inputs, %; before tails", "largest there; before tails"),
            *(
                "bad on photographs, %",
                "input attacked: bad, %",
                "largest",
                "latents within 3 sigma too: largest",
                "bound",
            ),
            "log10(bound / attack), least",
        )
    )
    for task, variant, *pair in _three_seeds(rows):
        cells = []
        for of in pair:
            names = {goal: [f"{where}_drawn_{goal}" for where in ("near", "free")] for goal in shield.GOALS}
            attacked = [row for row in of if row["attack"] == "yes"]
            bounds = column(of, "bound")
            cells.append(
                (
                    *(_stress(of, name, worst) for name, worst in zip(STRESS, (percent, size), strict=True)),
                    percent(max(column(of, "bad_share_photographs"))),
                    percent(max(value for name in names["bad_share"] for value in column(attacked, name))),
                    largest([value for name in names["largest"] for value in column(attacked, name)]),
                    largest([*column(attacked, "near_3_sigma_largest"), *column(attacked, "free_3_sigma_largest")]),
                    "none" if max(bounds) == math.inf else largest(bounds),
                    "" if max(bounds) == math.inf else f"{min(column(attacked, shield.RATIO)):.2f}",
                )
            )
        yield line([task, variant, *itertools.starmap(both, zip(*cells, strict=True))])


def _stress(of: list[Row], name: str, shown: Callable[[float], str]) -> str:
    """Return the worst of a column, of shields before their tails too."""
    names = (name,) if of[0]["quantile"] == shield.TRAINED else (name, f"{name}_before_tails")
    return "; ".join(shown(max(column(of, each))) for each in names)


def cost(rows: list[Row]) -> Iterator[str]:
    """Return what shields cost: means and standard deviations over seeds, agreement and LPIPS the worst."""
    yield from header(
        (
            *("task", "variant", "agreement, dB, least", "LPIPS", "change of it, %, most"),
            *("worst LR-PSNR or PSNR of the mean, dB", "bits/dim", "round trip, most", "minutes: training, shield"),
        )
    )
    for task, variant, trained, shielded in _three_seeds(rows):
        lpips = [column(of, "lpips") for of in (trained, shielded)]
        changes = [abs(after / before - 1) for before, after in zip(*lpips, strict=True)]
        fidelity = "lr_psnr_worst" if task in SUPER_RESOLUTION else "psnr"
        yield line(
            (
                *(task, variant, f"{min(column(shielded, 'held_out_agreement')):.1f}"),
                both(*(mean(values, 3) for values in lpips)),
                f"{100 * max(changes):.2f}",
                both(*(mean(column(of, fidelity), 1) for of in (trained, shielded))),
                both(*(mean(column(of, "bits_per_dim"), 2) for of in (trained, shielded))),
                both(*(f"{max(column(of, 'round_trip')):.0e}" for of in (trained, shielded))),
                ", ".join(f"{statistics.fmean(column(of, 'minutes')):.1f}" for of in (trained, shielded)),
            )
        )


def fidelity(rows: list[Row]) -> Iterator[str]:
    """Return LPIPS of every variant, means and standard deviations over seeds."""
    yield from _by_task(rows, lambda of: mean(column(of, "lpips"), 3), "LPIPS", "baseline_lpips")


def explosions(rows: list[Row]) -> Iterator[str]:
    """Return bad values on stress inputs of every variant, least and most of all seeds; of shields before tails too."""

    def shown(of: list[Row]) -> str:
        names = STRESS[:1] if of[0]["quantile"] == shield.TRAINED else (STRESS[0], f"{STRESS[0]}_before_tails")
        return "; ".join(span(column(of, name), percent) for name in names)

    yield from _by_task(rows, shown, "bad values, %")


def _by_task(rows: list[Row], cell: Callable[[list[Row]], str], what: str, baseline: str = "") -> Iterator[str]:
    """Return a row per task, with a cell for each of the demo's variants, and what is without a network."""
    named = {f"{variant}{', shielded' if shielded else ''}": (variant, shielded) for variant, shielded in DEMO}
    yield from header([what, *named, *(["no network"] if baseline else [])])
    for task, of in grouped(_demo(rows), "task"):
        cells = []
        for variant, shielded in named.values():
            own = [row for row in of if row["variant"] == variant and (row["quantile"] != shield.TRAINED) == shielded]
            cells.append(cell(own) if own else "")
        without = [f"{float(of[0][baseline]):.3f}"] if baseline else []
        yield line([f"`{task}`", *cells, *without])


def without_tails(rows: list[Row]) -> Iterator[str]:
    """Return what attacks find, largest and share, with tails and without, of one seed each."""
    settings = {
        "near_drawn": "input near",
        "free_drawn": "input free",
        "near_3_sigma": "near, latents within 3 sigma",
        "free_3_sigma": "free, latents within 3 sigma",
    }
    yield from header(("affine, seed 10", "shield", *settings.values(), "bound"))
    first = [row for row in rows if (row["variant"], row["seed"], row["attack"]) == ("affine", "10", "yes")]
    for task, of in grouped(first, "task"):
        if not any(row["tails"] == "no" for row in of):
            continue
        for tails, words in {"": "none", "yes": "with tails", "no": "without tails"}.items():
            for row in (row for row in of if row["tails"] == tails and row["quantile"] in (shield.TRAINED, QUANTILE)):
                cells = []
                for name in settings:
                    (largest,), (share,) = (column([row], f"{name}_{goal}") for goal in shield.GOALS)
                    cells.append(f"{size(largest)}; {percent(share)} %")
                yield line((f"`{task}`", words, *cells, size(float(row["bound"])) if row["bound"] else "none"))


def calibrated(rows: list[Row]) -> Iterator[str]:
    """Return what other pictures, and fewer, calibrate."""
    yield from header(
        (
            *("affine, seed 10", "calibrated on", "crops", "bad on stress inputs, %; before tails"),
            *("largest there; before tails", "bound", "agreement on held-out photographs, dB", "bits/dim"),
        )
    )
    first = [row for row in rows if (row["variant"], row["seed"], row["tails"]) == ("affine", "10", "yes")]
    for task, of in grouped([row for row in first if row["quantile"] == QUANTILE], "task"):
        others = [row for row in of if row["calibrated_on"] != shield.OWN]
        others.sort(key=lambda row: (row["calibrated_on"], int(row["crops"])))
        for row in [row for row in of if row["calibrated_on"] == shield.OWN and others][:1] + others:
            count = "all" if row["pictures"] == shield.ALL else row["pictures"]
            own = row["calibrated_on"] in (shield.OWN, task)
            yield line(
                (
                    *(f"`{task}`", f"{count} of {'its training pictures' if own else row['calibrated_on']}"),
                    row["crops"],
                    *(_stress([row], name, shown) for name, shown in zip(STRESS, (percent, size), strict=True)),
                    *(size(float(row["bound"])), f"{float(row['held_out_agreement']):.1f}"),
                    f"{float(row['bits_per_dim']):.2f}",
                )
            )


def low_light(rows: list[Row]) -> Iterator[str]:
    """Return the mean of draws of every trained variant in low light, and the equalized histogram."""
    names = {"lpips": 3, "psnr": 2, "ssim_colour": 3}
    yield from header(("task", "variant", "seeds", "LPIPS", "PSNR, dB", "SSIM", "seeds that are better in all three"))
    trained = [row for row in rows if row["quantile"] == shield.TRAINED and row["task"] not in SUPER_RESOLUTION]
    for task, of in grouped(trained, "task"):
        without = [f"{float(of[0][f'baseline_{name}']):.{digits}f}" for name, digits in names.items()]
        yield line([f"`{task}`", "none: equalized histogram", "", *without, ""])
        for variant, own in grouped(of, "variant"):
            better = sum(all(_is_better(row, name) for name in names) for row in own)
            means = [mean(column(own, name), digits) for name, digits in names.items()]
            yield line(["", VARIANTS.get(variant, variant), str(len(own)), *means, str(better)])


def _is_better(row: Row, name: str) -> bool:
    gain = float(row[name]) - float(row[f"baseline_{name}"])
    return gain < 0 if name == "lpips" else gain > 0


def which_bound(rows: list[Row]) -> Iterator[str]:
    """Return what each bound of the certified spline does alone, and both, as trained: over seeds."""
    yield from header(
        (
            *("task", "bounded", "bad on stress inputs, %", "largest there", "input attacked: largest"),
            *("latents within 3 sigma too", "bits/dim", "LPIPS", "round trip; nets in bfloat16", "bound"),
        )
    )
    trained = [row for row in rows if row["quantile"] == shield.TRAINED]
    for task, of in grouped(trained, "task"):
        for variant, bounded in BOUNDED.items():
            own = [row for row in of if row["variant"] == variant]
            if not own:
                continue
            yield line(
                (
                    *(f"`{task}`", bounded, span(column(own, "bad_share_stress"), percent)),
                    *(span(column(own, name), size) for name in ("largest_stress", "free_drawn_largest")),
                    span(column(own, "free_3_sigma_largest"), size),
                    *(mean(column(own, "bits_per_dim"), 2), mean(column(own, "lpips"), 3)),
                    f"{max(column(own, 'round_trip')):.0e}; {max(column(own, 'round_trip_bfloat16')):.0e}",
                    span(column(own, "bound"), size),
                )
            )
