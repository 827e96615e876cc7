"""Tables of what benchmarks/ablation.py measured, by rows of its table."""

from __future__ import annotations

import math
from collections.abc import Iterator

from table_cells import BOUNDED, OWN_TASK, PARAMS, Row, column, header, line, percent, proven, round_trips, size, span


def survival(rows: list[Row]) -> Iterator[str]:
    """Yield how trainings on an own folder ended and what they reached: least and most of all seeds that ended well."""
    yield from header(
        (
            *("variant", "steps", "rate", "seeds", "ended well", "went back", "those without going back"),
            *("held out, bits/dim", "LPIPS"),
            *("worst LR-PSNR, dB", "bad on stress inputs, %", "largest there", "bound"),
        )
    )
    own = [row for row in rows if row["task"] == OWN_TASK and row["survival"] == "on"]
    clipped = {_setting(row): row for row in rows if row["survival"] == "clipped"}
    for variant in PARAMS.variants:
        settings = {(row["steps"], row["rate"]) for row in own if row["variant"] == variant}
        for steps, rate in sorted(settings, key=lambda setting: tuple(map(float, setting))):
            of = [row for row in own if (row["variant"], row["steps"], row["rate"]) == (variant, steps, rate)]
            well = [row for row in of if row["end"] == "well"]
            seeds = ", ".join(sorted(row["seed"] for row in of))
            back = [row for row in of if _went_back(row)]
            without = [clipped[key] for key in map(_setting, back) if key in clipped]
            counts = (_ended_well(of), str(len(back)), _back_again(len(back), without))
            yield line((variant, f"{int(steps):,}", f"x {rate}", seeds, *counts, *_reached(well)))


def each_bound(rows: list[Row]) -> Iterator[str]:
    """Yield what each bound of the certified spline does alone, and both, in long trainings on an own folder."""
    yield from header(
        (
            *("bounded", "steps", "seeds", "bad on stress inputs, %", "largest there", "input attacked: largest"),
            *("latents within 3 sigma too", "bits/dim", "LPIPS", "round trip; nets in bfloat16", "bound"),
        )
    )
    own = [row for row in rows if (row["task"], row["rate"], row["survival"]) == (OWN_TASK, "1", "on")]
    for steps in sorted({row["steps"] for row in own if row["variant"] == "shift_alone"}, key=int):
        for variant, what in BOUNDED.items():
            of = [row for row in own if (row["variant"], row["steps"]) == (variant, steps)]
            if well := [row for row in of if row["end"] == "well"]:
                attacked = ("attacked_largest", "attacked_largest_3_sigma")
                yield line(
                    (
                        *(what, f"{int(steps):,}", ", ".join(sorted(row["seed"] for row in well))),
                        span(column(well, "bad_share_stress"), percent),
                        *(span(column(well, name, math.inf), size) for name in ("largest_stress", *attacked)),
                        *(span(column(well, name), "{:.3f}".format) for name in ("bits_per_dim", "lpips")),
                        round_trips(well, ("reconstruction_float32", "reconstruction_bfloat16")),
                        span(column(well, "certified_value", math.inf), proven),
                    )
                )


def _setting(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in ("task", "steps", "seed", "variant", "rate"))


def _back_again(count: int, without: list[Row]) -> str:
    """Return how many of those that went back end well where they may not, at which likelihood, and how many were not
    tried.
    """
    if not count:
        return "-"
    well = [row for row in without if row["end"] == "well"]
    reached = f" (at {span(column(well, 'bits_per_dim'), '{:.2f}'.format)})" if well else ""
    missing = f"{count - len(without)} not measured" if count > len(without) else ""
    return ", ".join(filter(None, [f"{_ended_well(without)}{reached}" if without else "", missing]))


def _ended_well(of: list[Row]) -> str:
    return f"{sum(row['end'] == 'well' for row in of)} of {len(of)}"


def _went_back(row: Row) -> bool:
    """Return whether a training went back; one that diverged did as often as it may, and has no number."""
    return not row["returns"] or float(row["returns"]) > 0


def _reached(well: list[Row]) -> list[str]:
    shown = {
        "bits_per_dim": "{:.3f}".format,
        "lpips": "{:.3f}".format,
        "lr_psnr_worst": "{:.1f}".format,
        "bad_share_stress": percent,
        "largest_stress": size,
    }
    if not well:
        return [""] * (len(shown) + 1)
    bounded = all(row["certified_value"] for row in well)
    bound = span(column(well, "certified_value"), proven) if bounded else "none"
    return [*(span(column(well, name), cell) for name, cell in shown.items()), bound]
