"""Tables of what benchmarks/ablation.py measured."""

from __future__ import annotations

from collections.abc import Iterator

from cells import VARIANTS, Row, column, grouped, header, line, percent, size, span

LONG = "7000"  # steps


def survival(rows: list[Row]) -> Iterator[str]:
    """Return how long trainings ended and what they reached: least and most of all seeds."""
    yield from header(
        (
            *("variant", "rate", "ended", "went back", "held out, bits/dim", "LPIPS", "worst LR-PSNR, dB"),
            *("bad on stress inputs, %", "largest there", "bound"),
        )
    )
    long = [row for row in rows if row["steps"] == LONG and row["survival"] == "on"]
    for variant, shown in VARIANTS.items():
        for rate, of in grouped([row for row in long if row["variant"] == variant], "rate"):
            well = [row for row in of if row["end"] == "well"]
            yield line(
                (
                    *(shown, f"x {rate}", f"{len(well)} of {len(of)}"),
                    *(f"{sum(float(row['returns'] or 0) > 0 for row in of)}",),
                    span(column(well, "bits_per_dim"), "{:.3f}".format),
                    span(column(well, "lpips"), "{:.3f}".format),
                    span(column(well, "lr_psnr_worst"), "{:.1f}".format),
                    span(column(well, "bad_share_stress"), percent),
                    span(column(well, "largest_stress"), size),
                    span(column(well, "certified_value"), size),
                )
            )
