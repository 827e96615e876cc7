"""Tables of what benchmarks/ablation.py measured, by rows of its table."""

from __future__ import annotations

from collections.abc import Iterator

from table_cells import Row, column, header, line, percent, size, span

TASK, LONG = "own_x4", "7000"  # an own folder of photographs, steps


def survival(rows: list[Row]) -> Iterator[str]:
    """Yield how long trainings ended and what they reached: least and most of all seeds that ended well."""
    yield from header(
        (
            *("variant", "rate", "seeds", "ended well", "went back", "held out, bits/dim", "LPIPS"),
            *("worst LR-PSNR, dB", "bad on stress inputs, %", "largest there", "bound"),
        )
    )
    long = [row for row in rows if row["task"] == TASK and row["steps"] == LONG and row["survival"] == "on"]
    settings = sorted({(row["variant"], row["rate"]) for row in long}, key=lambda each: (each[0], float(each[1])))
    for variant, rate in settings:
        of = [row for row in long if (row["variant"], row["rate"]) == (variant, rate)]
        well = [row for row in of if row["end"] == "well"]
        back = sum(float(row["returns"] or 0) > 0 for row in of)
        yield line(
            (
                *(variant, f"x {rate}", ", ".join(sorted(row["seed"] for row in of)), f"{len(well)} of {len(of)}"),
                *(f"{back}", *_reached(well)),
            )
        )


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
    bound = span(column(well, "certified_value"), size) if bounded else "none"
    return [*(span(column(well, name), cell) for name, cell in shown.items()), bound]
