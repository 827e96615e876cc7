"""Tables of what benchmarks/shield.py measured, by rows of its table."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import shield
from shield_parts import NOTHING, PICTURE, RANGES, ROOM, TAILS
from table_cells import (
    BOUNDED,
    LABELS,
    OWN_TASK,
    PARAMS,
    Row,
    arrow,
    column,
    header,
    line,
    mean,
    percent,
    proven,
    round_trips,
    size,
    span,
)

from pipeline.errors import SteadyflowError
from pipeline.rounding import rounded_down

SEEDS = ("10", "11", "12")
STRESS = ("bad_share_stress", "largest_stress")
NOT_FINITE = math.inf  # of what an attack found
NONE = math.inf  # of a bound
NEVER = -math.inf  # of how far it is certain that nothing is bad
ROUND_TRIPS = ("round_trip", "round_trip_bfloat16")


def explosions(rows: list[Row]) -> Iterator[str]:
    """Yield what was found as trained -> shielded, the worst of all seeds."""
    yield from header(
        (
            *("task", "variant", "bad on stress inputs, %; before tails", "largest finite there; before tails"),
            *("bad on photographs, %", "input attacked: bad, %", "largest", "latents within 3 sigma too: bad, %"),
            *("largest", "bound", "log10(bound / attack), least"),
        )
    )
    for task, variant in itertools.product(PARAMS.tasks, LABELS):
        cells = [_explosions(_three(rows, task, variant, shielded)) for shielded in (False, True)]
        yield line((f"`{task}`", LABELS[variant], *itertools.starmap(arrow, zip(*cells, strict=True))))


def _explosions(of: list[Row]) -> tuple[str, ...]:
    bound = max(column(of, "bound", NONE))
    return (
        *(_before_tails(of, name, shown) for name, shown in zip(STRESS, (percent, size), strict=True)),
        percent(max(column(of, "bad_share_photographs"))),
        *(
            shown(_worst(of, f"{latents}_{goal}"))
            for latents in ("drawn", "3_sigma")
            for goal, shown in (("bad_share", percent), ("largest", size))
        ),
        proven(bound),
        "" if bound == NONE else f"{min(column(of, shield.RATIO)):.2f}",
    )


def _worst(of: list[Row], goal: str) -> float:
    """Return the most that attacks found, on inputs near the photograph and on any."""
    return max(value for where in ("near", "free") for value in column(of, f"{where}_{goal}", NOT_FINITE))


def cost(rows: list[Row]) -> Iterator[str]:
    """Yield what shields cost: the worst of all seeds where it says so, else mean and standard deviation."""
    yield from header(
        (
            *("task", "variant", "agreement, dB, least", "LPIPS", "change of it, %, most"),
            *("worst LR-PSNR, or PSNR of the mean, dB", "bits/dim", "round trip, most; nets in bfloat16"),
            "minutes: training, shield",
        )
    )
    for task, variant in itertools.product(PARAMS.tasks, LABELS):
        trained, shielded = (_three(rows, task, variant, shielded) for shielded in (False, True))
        lpips = [column(of, "lpips") for of in (trained, shielded)]
        changes = [abs(after / before - 1) for before, after in zip(*lpips, strict=True)]
        fidelity = "psnr" if _is_low_light(task) else "lr_psnr_worst"
        yield line(
            (
                *(f"`{task}`", LABELS[variant], f"{min(column(shielded, 'held_out_agreement')):.1f}"),
                arrow(*(mean(values, 3) for values in lpips)),
                f"{100 * max(changes):.2f}",
                arrow(*(mean(column(of, fidelity), 1) for of in (trained, shielded))),
                arrow(*(mean(column(of, "bits_per_dim"), 2) for of in (trained, shielded))),
                arrow(*(round_trips(of, ROUND_TRIPS) for of in (trained, shielded))),
                ", ".join(f"{statistics.median(column(of, 'minutes')):.1f}" for of in (trained, shielded)),
            )
        )


def lpips(rows: list[Row]) -> Iterator[str]:
    """Yield LPIPS of the demo's variants, and without a network."""
    yield from _by_task(rows, "LPIPS", lambda of: mean(column(of, "lpips"), 3), "baseline_lpips")


def bad_values(rows: list[Row]) -> Iterator[str]:
    """Yield bad values of the demo's variants on stress inputs, least and most of all seeds; of shields also before
    their tails.
    """

    def shown(of: list[Row]) -> str:
        return "; ".join(span(column(of, name), percent) for name in _also_before_tails(of, STRESS[0]))

    yield from _by_task(rows, "bad values, %", shown)


def _by_task(rows: list[Row], what: str, cell: Callable[[list[Row]], str], baseline: str = "") -> Iterator[str]:
    shown = [(variant, False) for variant in PARAMS.variants] + [(variant, True) for variant in PARAMS.shields]
    names = [f"{variant}, shielded" if shielded else variant for variant, shielded in shown]
    yield from header((what, *names, *(["no network"] if baseline else [])))
    for task in PARAMS.tasks:
        cells = [_three(rows, task, *each) for each in shown]
        without = [f"{column(cells[0], baseline)[0]:.3f}"] if baseline else []
        yield line((f"`{task}`", *map(cell, cells), *without))


def certain(rows: list[Row]) -> Iterator[str]:
    """Yield up to how many standard deviations nothing is bad with a shield, of chosen latents and of draws: the least
    of all seeds.
    """

    def shown(task: str, variant: str) -> str:
        least = [min(column(_three(rows, task, variant, True), name, NEVER)) for name in shield.CERTAIN]
        return "none" if NEVER in least else "; ".join(rounded_down(value, 2) for value in least)

    yield from header(("task", *(f"{variant}, shielded" for variant in PARAMS.shields)))
    for task in PARAMS.tasks:
        yield line((f"`{task}`", *(shown(task, variant) for variant in PARAMS.shields)))


def low_light(rows: list[Row]) -> Iterator[str]:
    """Yield the mean of draws of every variant as trained in low light, and the equalized histogram."""
    digits = {"lpips": 3, "psnr": 2, "ssim_colour": 3}
    yield from header(("task", "variant", "LPIPS", "PSNR, dB", "SSIM", "seeds that are better in all three"))
    for task in filter(_is_low_light, PARAMS.tasks):
        found = {variant: _three(rows, task, variant, False) for variant in LABELS}
        (first, *_), *_ = found.values()
        without = (f"{float(first[f'baseline_{name}']):.{places}f}" for name, places in digits.items())
        yield line((f"`{task}`", "equalized histogram, no network", *without, ""))
        for variant, of in found.items():
            better = sum(all(_is_better(row, name) for name in digits) for row in of)
            means = (mean(column(of, name), places) for name, places in digits.items())
            yield line(("", LABELS[variant], *means, f"{better} of {len(of)}"))


def _is_better(row: Row, name: str) -> bool:
    gain = float(row[name]) - float(row[f"baseline_{name}"])
    return gain < 0 if name == "lpips" else gain > 0


def each_bound(rows: list[Row]) -> Iterator[str]:
    """Yield what each bound of the certified spline does alone, and both, as trained."""
    yield from header(
        (
            *("task", "bounded", "bad on stress inputs, %", "largest finite there", "input attacked: largest"),
            *("latents within 3 sigma too", "bits/dim", "LPIPS", "round trip; nets in bfloat16", "bound"),
        )
    )
    for task, (variant, what) in itertools.product(PARAMS.tasks, BOUNDED.items()):
        of = _three(rows, task, variant, False)
        yield line(
            (
                *(f"`{task}`", what, span(column(of, "bad_share_stress"), percent)),
                span(column(of, "largest_stress"), size),
                *(span(column(of, f"free_{latent}_largest", NOT_FINITE), size) for latent in ("drawn", "3_sigma")),
                *(mean(column(of, "bits_per_dim"), 2), mean(column(of, "lpips"), 3)),
                round_trips(of, ROUND_TRIPS),
                span(column(of, "bound", NONE), proven),
            )
        )


def long_trainings(rows: list[Row]) -> Iterator[str]:
    """Yield what the demo's shields do to flows that were trained long on an own folder: the worst of all seeds."""
    yield from header(
        (
            *("variant", "seeds", "bad on stress inputs, %; before tails", "largest there; before tails"),
            *("input attacked: largest", "latents within 3 sigma too", "agreement, dB, least", "bits/dim, worst"),
            *("LPIPS", "bound"),
        )
    )
    for variant, label in LABELS.items():
        if of := [*_own(rows, task=OWN_TASK, variant=variant, without=NOTHING, attack="yes")]:
            yield line(
                (
                    *(label, ", ".join(sorted(row["seed"] for row in of))),
                    *(_before_tails(of, name, shown) for name, shown in zip(STRESS, (percent, size), strict=True)),
                    *(size(_worst(of, f"{latents}_largest")) for latents in ("drawn", "3_sigma")),
                    f"{min(column(of, 'held_out_agreement')):.1f}",
                    f"{max(column(of, 'bits_per_dim')):.2f}",
                    *(span(column(of, "lpips"), "{:.3f}".format), proven(max(column(of, "bound")))),
                )
            )


def without_tails(rows: list[Row]) -> Iterator[str]:
    """Yield what attacks find in flows with tails and without, where both were measured."""
    settings = {
        "near_drawn": "input near",
        "free_drawn": "input free",
        "near_3_sigma": "near, latents within 3 sigma",
        "free_3_sigma": "free, latents within 3 sigma",
    }
    yield from header(("task", "variant", "shield", *settings.values(), "bound"))
    tails = {"": "none", NOTHING: "with tails", TAILS: "without tails"}
    for bare in _own(rows, without=TAILS, attack="yes"):
        for tail, words in tails.items():
            same = {name: bare[name] for name in ("task", "variant", "seed")}
            (row,) = _own(rows, without=tail, attack="yes", **same)
            cells = []
            for name in settings:
                ((found,), (share,)) = (column([row], f"{name}_{goal}", NOT_FINITE) for goal in shield.GOALS)
                cells.append(f"{size(found)}; {percent(share)} %")
            (bound,) = column([row], "bound", NONE)
            yield line((f"`{row['task']}`", row["variant"], words, *cells, proven(bound)))


def without_room(rows: list[Row]) -> Iterator[str]:
    """Yield what shields do that hold parameters to what was seen and no more, beside the demo's of the same models:
    agreement and largest value seed by seed, else the worst.
    """
    yield from header(
        (
            *("task", "variant", "seeds", "boxes of parameters", "agreement, dB"),
            *("bad on stress inputs before tails, %", "latents within 3 sigma too: largest", "bound"),
        )
    )
    narrow = sorted(_own(rows, without=ROOM, attack="yes"), key=lambda row: int(row["seed"]))
    for task, variant in sorted({(row["task"], row["variant"]) for row in narrow}):
        seeds = [row["seed"] for row in narrow if (row["task"], row["variant"]) == (task, variant)]
        for part, words in {ROOM: "to what was seen", NOTHING: "with room"}.items():
            each = {row["seed"]: row for row in _own(rows, task=task, variant=variant, without=part, attack="yes")}
            of = [each[seed] for seed in seeds]
            yield line(
                (
                    *(f"`{task}`", variant, ", ".join(seeds), words),
                    ", ".join(f"{value:.1f}" for value in column(of, "held_out_agreement")),
                    percent(max(column(of, f"{STRESS[0]}_before_tails"))),
                    ", ".join(map(size, (_worst([row], "3_sigma_largest") for row in of))),
                    proven(max(column(of, "bound"))),
                )
            )


def parts(rows: list[Row]) -> Iterator[str]:
    """Yield what shields do without one of their parts, before the tails: bad values and agreement."""
    yield from header(
        ("task", "variant", "without", "bad on stress inputs, %", "largest finite there", "agreement, dB")
    )
    own = [*_own(rows, seed=SEEDS[0], attack="no")]
    for task, variant in dict.fromkeys((row["task"], row["variant"]) for row in own if row["without"] in RANGES):
        for part in (NOTHING, *RANGES, ROOM, PICTURE):
            of = [row for row in own if (row["task"], row["variant"], row["without"]) == (task, variant, part)]
            for row in of[:1]:
                (bad,), (largest,) = (column([row], f"{name}_before_tails", math.inf) for name in STRESS)
                agreement = f"{column([row], 'held_out_agreement', math.nan)[0]:.1f}"
                yield line((f"`{task}`", variant, part, percent(bad), size(largest), agreement))


def other_pictures(rows: list[Row]) -> Iterator[str]:
    """Yield what other pictures calibrate, and fewer, beside the task's own."""
    yield from header(
        (
            *("task", "variant", "calibrated on", "crops", "bad on stress inputs, %; before tails"),
            *("largest finite there; before tails", "bound", "agreement on held-out photographs, dB", "bits/dim"),
        )
    )
    usual = {"quantile": f"{shield.usual_quantile(PARAMS):g}", "seed": SEEDS[0], "without": NOTHING}
    others = [row for row in _of(rows, **usual) if row["calibrated_on"] not in ("", shield.OWN)]
    for task, variant in dict.fromkeys((row["task"], row["variant"]) for row in others):
        own = [*_own(rows, task=task, variant=variant, seed=SEEDS[0], without=NOTHING, attack="yes")]
        of = [row for row in others if (row["task"], row["variant"]) == (task, variant)]
        for row in own[:1] + sorted(of, key=lambda row: (row["calibrated_on"], int(row["crops"]))):
            count, source = row["pictures"], Path(row["calibrated_on"]).name
            words = "its training pictures" if source == shield.OWN else f"{count} of {source}"
            yield line(
                (
                    *(f"`{task}`", variant, words, row["crops"]),
                    *(_before_tails([row], name, shown) for name, shown in zip(STRESS, (percent, size), strict=True)),
                    *(proven(float(row["bound"])), f"{float(row['held_out_agreement']):.1f}"),
                    f"{float(row['bits_per_dim']):.2f}",
                )
            )


def _before_tails(of: list[Row], name: str, shown: Callable[[float], str]) -> str:
    """Return the worst of a column, of shields before their tails too."""
    return "; ".join(shown(max(column(of, each, math.inf))) for each in _also_before_tails(of, name))


def _also_before_tails(of: list[Row], name: str) -> tuple[str, ...]:
    """Return the names of a column, and of shields of what it is before their tails."""
    return (name, f"{name}_before_tails") if _is_shielded(of[0]) else (name,)


def _three(rows: list[Row], task: str, variant: str, shielded: bool) -> list[Row]:
    """Return a row of each seed, as trained or with the demo's shield, attacked. SteadyflowError if one is missing."""
    of = _own(rows, task=task, variant=variant, without=NOTHING if shielded else "", attack="yes")
    found = {row["seed"]: row for row in of}
    if missing := set(SEEDS) - set(found):
        what = f"{task} {variant}{', shielded' if shielded else ''}"
        raise SteadyflowError(f"{what}: seeds {', '.join(sorted(missing))} are not measured with --attack")
    return [found[seed] for seed in SEEDS]


def _own(rows: list[Row], **wanted: str) -> Iterator[Row]:
    """Yield rows of models as trained, and with the demo's quantile calibrated on the task's own pictures."""
    usual = f"{shield.usual_quantile(PARAMS):g}"
    for row in _of(rows, **wanted):
        if not _is_shielded(row) or (row["calibrated_on"] == shield.OWN and row["quantile"] == usual):
            yield row


def _of(rows: list[Row], **wanted: str) -> Iterator[Row]:
    """Yield rows whose columns say what is wanted."""
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            yield row


def _is_shielded(row: Row) -> bool:
    return row["quantile"] != shield.TRAINED


def _is_low_light(task: str) -> bool:
    return PARAMS.tasks[task].scale == 1
