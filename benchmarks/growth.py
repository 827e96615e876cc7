"""How time and memory grow with picture size, draws, steps per level and batch: a table and a plot.

    python benchmarks/growth.py --out growth                                    # profile demo, some minutes
    python benchmarks/growth.py --profile paper --threads 2 --most 2048 --out growth  # published sizes, half an hour
    python benchmarks/growth.py --quick --out growth                            # seconds: does it run at all

One thing grows at a time; the others stay at a picture of 64 x 64, batch 1, the profile's steps per level. What is
timed is an optimizer step, or draws where it says so, one or as many as grow. With one thread, seconds are the
processor's, which other work on the machine changes less. A point has a process of its own, so that its peak of memory,
beyond what was held before, is its own (Linux); one that by the last would need more than there is is left out. Writes
growth.csv and growth.png; the exponent that is printed is the slope in the doubly logarithmic plot over its upper half.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path

import psutil
import torch
from arms import VARIANTS, Arm, experiment_of
from peak_memory import reset_peak, resident

from pipeline.console import progress, say
from pipeline.feasibility.profile import run_alone
from pipeline.files import write_csv

SIZE = 64
VALUES = {
    "picture size": (64, 128, 256, 512, 1024, 2048),
    "picture size, one draw": (64, 128, 256, 512, 1024, 2048),
    "draws": (1, 4, 16, 64),
    "steps per level": (4, 8, 16, 32),
    "batch": (1, 2, 4, 8, 16),
}
_ENOUGH = 10.0  # seconds of timed calls; three of them where they take less
COLUMNS = ("what", "value", "arm", "seconds", "MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small values of each, profile smoke, spline alone")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--arms", default="affine,spline", help="%(default)s")
    parser.add_argument("--most", type=int, default=1024, help="largest picture, pixels a side (%(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    profile, arms = ("smoke", ["spline"]) if arguments.quick else (arguments.profile, arguments.arms.split(","))
    if unknown := set(arms) - set(VARIANTS):
        parser.error(f"--arms: {', '.join(sorted(unknown))} is none; allowed: {', '.join(VARIANTS)}")
    values = {what: [v for v in each if "size" not in what or v <= arguments.most] for what, each in VALUES.items()}
    if arguments.quick:
        values = {what: each[:2] for what, each in values.items()}
    points = [(what, value, arm) for what, each in values.items() for value in each for arm in arms]
    rows = []
    for what, value, arm in progress(points, "growth"):
        needed = _memory_needed(rows, what, value, arm)
        if needed > 0.9 * psutil.virtual_memory().available / 2**20:
            found = f"left out: it would need some {needed:,.0f} MiB"
        else:
            found = run_alone(measure, profile, what, value, arm, arguments.threads)
        if isinstance(found, str):
            say(f"{what} {value} {arm}: {found}")
            found = (None, None)
        rows.append(dict(zip(COLUMNS, (what, value, arm, *found), strict=True)))
        write_csv(arguments.out / "growth.csv", COLUMNS, rows)
    for what in values:
        for arm in arms:
            say(f"{what:22} {arm:8} time ^{_exponent(rows, what, arm, 'seconds')}, "
                f"memory ^{_exponent(rows, what, arm, 'MiB')}")  # fmt: skip
    plot(rows, arguments.out / "growth.png")


def measure(profile, what, value, name, threads):
    """Return seconds and MiB of a step (of all draws, where draws grow)."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    size, batch = (value if "size" in what else SIZE), (value if what == "batch" else 1)
    changes = {"settings.network.steps": value} if what == "steps per level" else {}
    experiment = experiment_of(profile, "df2k_x4", name, changes)
    if what == "steps per level":  # noise-conditional steps are some of them
        levels = experiment.settings.network.noise_steps
        experiment = experiment.vary({"settings.network.noise_steps": [min(n, value) for n in levels]})
    arm = Arm(experiment, size, batch)

    def work():
        return arm.draw(value if what == "draws" else 1) if "draw" in what else arm.step()

    if size < 1024:  # there, what a first call sets up is nothing
        work()
    arm.trainer.optimizer.zero_grad(set_to_none=True)
    before = reset_peak()
    work()
    peak = max(0, resident("VmHWM") - before) / 2**20
    seconds = []
    while len(seconds) < 3 and sum(seconds) < _ENOUGH:
        start = clock()
        work()
        seconds.append(clock() - start)
    return statistics.median(seconds), peak


def _memory_needed(rows, what, value, arm):
    """Return MiB, by the last point of the same arm: as its square for a side, else in proportion; 0 for the first."""
    last = [row for row in rows if row["what"] == what and row["arm"] == arm and row["MiB"]][-1:]
    return sum(row["MiB"] * (value / row["value"]) ** (2 if "size" in what else 1) for row in last)


def _exponent(rows, what, arm, column):
    found = [(row["value"], row[column]) for row in rows if row["what"] == what and row["arm"] == arm and row[column]]
    if len(found) < 2:
        return " –"
    (first, low), (last, high) = found[(len(found) - 1) // 2], found[-1]
    return f" {math.log(high / low) / math.log(last / first):.2f}"


def plot(rows, path):
    """Draw time and memory over each thing that grew, on doubly logarithmic axes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    things = list(dict.fromkeys(row["what"] for row in rows))
    figure = Figure(figsize=(3.2 * len(things), 5), layout="constrained")
    axes = figure.subplots(2, len(things), squeeze=False)
    for column, what in enumerate(things):
        for line, measured in enumerate(("seconds", "MiB")):
            axis = axes[line][column]
            for arm in dict.fromkeys(row["arm"] for row in rows):
                own = [row for row in rows if row["what"] == what and row["arm"] == arm and row[measured]]
                axis.loglog([row["value"] for row in own], [row[measured] for row in own], "o-", label=arm)
            axis.set_xlabel(what)
            axis.set_ylabel(measured)
            values = list(dict.fromkeys(row["value"] for row in rows if row["what"] == what))
            axis.set_xticks(values, labels=values)
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            for side in (axis.xaxis, axis.yaxis):
                side.set_minor_formatter(NullFormatter())
    axes[0][0].legend()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
