"""Where the time of a step, an encoding and ten draws goes, and what share of the machine's peak convolutions reach.

    python benchmarks/where.py --scales 4,8 --threads 2 --out where   # published sizes, two minutes
    python benchmarks/where.py --quick                                # tiny networks: does it run at all

One call each under ``torch.profiler``, which slows short operations down, so shares of what is no convolution are a
little too large; "rest" has all other operations and Python between them. "peak" is that of benchmarks/performance.py,
measured in the same process; FLOPs are those of the convolutions, counted as there. With --out: where.csv.
"""

from __future__ import annotations

import argparse
import functools
import time
from pathlib import Path

import torch
from arms import Arm, experiment_of
from performance import TASKS, convolution_peak, scales_of, show
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from pipeline.console import progress, run_main, say
from pipeline.files import write_csv

# What the profiler calls it, with all that it calls; none of them calls another one.
KINDS = {
    "convolutions": ("aten::convolution",),
    "convolutions, backward": ("aten::convolution_backward",),
    "splines": ("InPieces", "InPiecesBackward"),
    "sum, ActNorm, ReLU": ("_NormalizedReLU", "_NormalizedReLUBackward"),
    "1x1 of the flow": (
        *("aten::matmul", "BmmBackward0", "MmBackward0"),
        *("aten::linalg_inv_ex", "aten::linalg_slogdet", "LinalgSlogdetBackward0"),
    ),
    "concatenations": ("aten::cat",),
    "optimizer": ("Optimizer.step#Adam.step", "aten::_foreach_norm"),
}
COLUMNS = ("what", "arm", "seconds", *(f"{kind}, %" for kind in KINDS), "rest, %", "share of peak in convolutions")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="networks of profile smoke")
    parser.add_argument("--scales", default="4,8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for where.csv")
    arguments = parser.parse_args()
    scales = scales_of(parser, arguments.scales)
    torch.set_num_threads(arguments.threads)
    profile_name, size = ("smoke", 32) if arguments.quick else ("paper", 160)
    peak = convolution_peak(0.2 if arguments.quick else 2.0, time.perf_counter)
    say(f"convolution peak {peak / 1e9:.0f} GFLOP/s on {arguments.threads} thread(s), measured")
    cases = [(scale, name) for scale in scales for name in ("spline", "affine")]
    rows = []
    for scale, name in progress(cases, "where"):
        arm = Arm(experiment_of(profile_name, TASKS[scale], name), size)
        works = {"step": arm.step, "encode": arm.encode, "ten draws": functools.partial(arm.draw, 10)}
        for what, work in works.items():
            cells = (f"{what} {scale}x", name, *measure(work, peak))
            rows.append(dict(zip(COLUMNS, cells, strict=True)))
    show(rows, f"profile {profile_name}, {size} x {size}, batch 1, {arguments.threads} thread(s)")
    if arguments.out:
        write_csv(arguments.out / "where.csv", COLUMNS, rows)


def measure(work, peak):
    """Return what stands in a row behind its name, as text."""
    with FlopCounterMode(display=False) as counter:
        work()
    flops = sum(found for operation, found in counter.get_flop_counts()["Global"].items() if "conv" in str(operation))
    work()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        start = time.perf_counter()
        work()
        whole = 1e6 * (time.perf_counter() - start)
    events = {event.key: event for event in seen.key_averages()}
    kinds = {
        kind: sum(events[name].cpu_time_total for name in names if name in events) for kind, names in KINDS.items()
    }
    inside = kinds["convolutions"] + kinds["convolutions, backward"]
    shares = [f"{100.0 * taken / whole:.1f}" for taken in (*kinds.values(), whole - sum(kinds.values()))]
    return f"{whole / 1e6:.2f}", *shares, f"{flops / (inside / 1e6) / peak:.2f}"


if __name__ == "__main__":
    run_main(main)
