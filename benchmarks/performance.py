"""Time, memory and FLOPs of training, encoding and drawing, as ratios of arms that take turns in one run.

    python benchmarks/performance.py --out performance        # the published sizes, 4x and 8x: a quarter of an hour
    python benchmarks/performance.py --quick                  # tiny networks, a minute: does it run at all
    python benchmarks/performance.py --peer peer.py           # beside a published network's own code

Networks are those of profile paper (4x 41.66 M parameters affine, 46.55 M spline), on one random picture of 160 x 160.
"plain form" is the same network without what was made faster: features enlarged before they are convolved, splines as
tensor operations. Without ``--peer`` it stands in the place of the published code, whose own speed it does not tell.

``--peer FILE``: Python of yours with a function ``make(scale, spline)`` that returns ``loss(hr, lr)``, an nn.Module of
a published network's checkout (hr ``(1, 3, 160, 160)``, lr as small as the scale says, in [0, 1]; the mean nll). It is
trained by Adam in a process of its own, since such code has top-level packages of the same names as ours; its process
and ours take turns.

Every row has the median of the rounds, its spread (largest less least, over the median), the ratio to the first row of
its group, and where FLOPs are counted (``torch.utils.flop_counter``: convolutions and products of matrices) their
number and the share of this machine's measured convolution peak that the median reaches. Peaks of memory are those of a
process per arm, beyond what it held before the step (Linux). Times of a machine with other load are good for ratios at
most, and better ones with ``--processor``: the processor's seconds, on one thread, which leave out those in which
another process had its core (a peer's are not counted so).
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import math
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from arms import VARIANTS, Arm, always, bfloat16, experiment_of, frozen, interleaved, plain_form, spread
from memory import reset_peak, resident
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from models.flow.transforms import TRANSFORMS
from pipeline.console import progress, say
from pipeline.feasibility.profile import run_alone
from pipeline.files import write_csv

TASKS = {4: "df2k_x4", 8: "df2k_x8"}
COLUMNS = ("group", "arm", "median, s", "spread", "ratio", "GFLOP", "share of peak", "MiB")


class Turns(NamedTuple):
    """How often arms take their turn, FLOP/s of the convolution peak, and what counts the seconds."""

    rounds: int
    peak: float
    clock: Callable[[], float]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="networks of profile smoke, one round")
    parser.add_argument("--scales", default="4,8")
    parser.add_argument("--groups", default="training,encoding,drawing,memory", help="%(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor", action="store_true", help="count this process's own seconds alone")
    parser.add_argument("--peer", type=Path, help="see above")
    parser.add_argument("--out", type=Path, help="folder for performance.csv")
    arguments = parser.parse_args()
    if arguments.processor and (arguments.threads > 1 or arguments.peer):
        parser.error("--processor is for one thread, and without --peer")
    torch.set_num_threads(arguments.threads)
    size, rounds = (32, 1) if arguments.quick else (160, arguments.rounds)
    profile = "smoke" if arguments.quick else "paper"
    clock = time.process_time if arguments.processor else time.perf_counter
    peak = convolution_peak(0.2 if arguments.quick else 2.0, clock)
    say(f"convolution peak {peak / 1e9:.0f} GFLOP/s on {arguments.threads} thread(s), measured")
    shape, turns = ((1, 6, 16, 16), 2) if arguments.quick else ((8, 12, 80, 80), 5 * rounds)
    rows = spline_rows(shape, turns, clock)
    scales, chosen = list(map(int, arguments.scales.split(","))), arguments.groups.split(",")
    timed = {"training": training, "encoding": encoding, "drawing": drawing}
    groups = [(scale, timed[name]) for scale in scales for name in chosen if name in timed]
    for scale, group in progress(groups, "performance"):
        rows += group(profile, scale, size, Turns(rounds, peak, clock), arguments.peer)
        save(rows, arguments.out)
    for scale in scales if "memory" in chosen else ():
        rows += memory_rows(profile, scale, size, arguments.threads)
    save(rows, arguments.out)
    table = Table(title=f"profile {profile}, {size} x {size}, batch 1, {arguments.threads} thread(s)")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
    for row in rows:
        table.add_row(*row.values())
    Console(width=130).print(table)


def save(rows, folder):
    """Write what is measured so far, if a folder was given."""
    if folder:
        write_csv(folder / "performance.csv", COLUMNS, rows)


def convolution_peak(seconds, clock):
    """Return FLOP/s of the fastest of some 3x3 convolutions, float32."""
    best = 0.0
    for channels in (64, 128, 256):
        x, weight = torch.randn(1, channels, 80, 80), torch.randn(channels, channels, 3, 3)
        flops, end = 2 * 9 * channels**2 * 80**2, time.perf_counter() + seconds / 3
        while time.perf_counter() < end:
            start = clock()
            F.conv2d(x, weight, padding=1)
            best = max(best, flops / (clock() - start))
    return best


def training(profile, scale, size, turns, peer):
    """Return the rows of one optimizer step."""
    arms = arms_of(profile, scale, size)
    spline, affine = arms["spline"], arms["affine"]
    works = {
        "spline, plain form": (plain_form, spline.step),
        "affine, plain form": (plain_form, affine.step),
        **{name: (always, arm.step) for name, arm in arms.items()},
        "spline, nets in bfloat16": (functools.partial(bfloat16, spline), spline.step),
        "spline, encoder frozen": (functools.partial(frozen, spline), spline.step),
    }
    if peer is None:
        return rows_of(f"training step {scale}x", works, turns)
    peers = {name: Peer(peer, scale, name == "spline", size) for name in ("spline", "affine")}
    works = {f"{name}, peer": (always, other.step) for name, other in peers.items()} | works
    try:
        return rows_of(f"training step {scale}x", works, turns)
    finally:
        for other in peers.values():
            other.end()


def encoding(profile, scale, size, turns, _):
    """Return the rows of encoding a picture."""
    arms = arms_of(profile, scale, size)
    plain = {f"{name}, plain form": (plain_form, arms[name].encode) for name in ("spline", "affine")}
    return rows_of(f"encode {scale}x", plain | {name: (always, arm.encode) for name, arm in arms.items()}, turns)


def drawing(profile, scale, size, turns, _):
    """Return the rows of one draw and of ten."""
    arms, rows = arms_of(profile, scale, size), []
    for count in (1, 10):
        plain = {"spline, plain form": (plain_form, functools.partial(arms["spline"].draw, count))}
        ours = {name: (always, functools.partial(arm.draw, count)) for name, arm in arms.items()}
        rows += rows_of(f"draw {count} {scale}x", plain | ours, turns)
    return rows


def arms_of(profile, scale, size):
    """Return one flow per variant."""
    return {name: Arm(experiment_of(profile, TASKS[scale], name), size) for name in VARIANTS}


def rows_of(group, works, turns):
    """Return a row per work; the FLOPs of a peer's process are not counted."""
    counted = {name: flops_of(*work) for name, work in works.items() if not name.endswith("peer")}
    rows, first = [], None
    for name, seconds in interleaved(works, turns.rounds, turns.clock).items():
        middle, width = spread(seconds)
        first = first or middle
        flops = counted.get(name)
        shown = (f"{flops / 1e9:.1f}", f"{flops / middle / turns.peak:.2f}") if flops else ("", "")
        cells = (group, name, f"{middle:.4f}", f"{width:.2f}", f"{middle / first:.3f}", *shown, "")
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def flops_of(context, work):
    """Return the FLOPs of one call, backward pass included."""
    with context(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def spline_rows(shape, rounds, clock):
    """Return the rows of a spline alone, forward and backward."""
    x = torch.randn(shape)
    works = {}
    for name, kind in TRANSFORMS.items():
        if name in ("affine", "rational_quadratic_spline", "certified_spline"):
            transform = kind()
            batch, channels, *sides = shape
            h = torch.randn(batch, channels * transform.parameters_per_channel, *sides)
            works[name] = (always, functools.partial(forward_backward, transform.forward, x, h))
            if name.endswith("spline"):
                plain = functools.partial(transform.plainly, inverse=False)
                works[f"{name}, plain form"] = (always, functools.partial(forward_backward, plain, x, h))
    for name, make in (("nflows", nflows_spline), ("zuko", zuko_spline)):
        if importlib.util.find_spec(name) is None:
            say(f"{name} is not installed: its arm is left out")
        else:
            raw = torch.randn(*shape, 5)  # two bins: widths, heights, one inner slope
            works[name] = (always, functools.partial(forward_backward, make(), x, raw))
    order = ("nflows", "rational_quadratic_spline, plain form")
    first = next(name for name in order if name in works)
    works = {first: works[first], **works}
    elements = x.numel()
    return rows_of(f"transform alone, {elements:,} values", works, Turns(rounds, math.inf, clock))


def forward_backward(function, x, raw):
    """Transform and go back to x and the raw parameters."""
    x, raw = x.detach().requires_grad_(), raw.detach().requires_grad_()
    y, log_derivative = function(x, raw)
    (y.sum() + log_derivative.sum()).backward()


def nflows_spline():
    """Return nflows' spline of two bins on (-1/2, 1/2), as a function of x and raw parameters."""
    from nflows.transforms.splines import unconstrained_rational_quadratic_spline

    return lambda x, raw: unconstrained_rational_quadratic_spline(
        x, raw[..., :2], raw[..., 2:4], raw[..., 4:], tail_bound=0.5
    )


def zuko_spline():
    """Return zuko's, likewise."""
    from zuko.transforms import MonotonicRQSTransform

    return lambda x, raw: MonotonicRQSTransform(raw[..., :2], raw[..., 2:4], raw[..., 4:], bound=0.5).call_and_ladj(x)


def memory_rows(profile, scale, size, threads):
    """Return the rows of the peak of a step."""
    if not Path("/proc/self/clear_refs").exists():
        say("peaks of memory are read from /proc, which only Linux has: left out")
        return []
    cases = [("spline, plain form", "spline", "plain", True)]
    cases += [(name, name, "plain", False) for name in VARIANTS]
    cases += [(f"spline, memory: {mode}", "spline", mode, False) for mode in ("checkpoint", "reversible")]
    rows, first = [], None
    for name, arm, mode, plainly in progress(cases, f"memory {scale}x"):
        found = run_alone(peak_of_step, profile, TASKS[scale], arm, mode, plainly, size, threads)
        if isinstance(found, str):
            say(f"{name}: {found}")
            continue
        first = first or found
        cells = (f"peak of a step {scale}x", name, "", "", f"{found / first:.3f}", "", "", f"{found / 2**20:.0f}")
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def peak_of_step(profile, task, name, mode, plainly, size, threads):
    """Return how many bytes a second step held beyond what was there before."""
    torch.set_num_threads(threads)
    arm = Arm(experiment_of(profile, task, name, {"settings.training.memory": mode}), size)
    with plain_form() if plainly else always():
        arm.step()
        arm.trainer.optimizer.zero_grad(set_to_none=True)
        before = reset_peak()
        arm.step()
    return max(1, resident("VmHWM") - before)


class Peer:
    """A published network's code in a process of its own, which takes a step when it is its turn."""

    def __init__(self, file, scale, spline, size):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        arguments = (other, str(file.resolve()), scale, spline, size, torch.get_num_threads())
        self._process = context.Process(target=serve_peer, args=arguments, daemon=True)
        self._process.start()
        other.close()

    def step(self):
        """Take one step; EOFError if its process has ended."""
        self._pipe.send("step")
        self._pipe.recv()

    def end(self):
        """End its process."""
        self._process.kill()
        self._process.join()


def serve_peer(pipe, file, scale, spline, size, threads):
    """Take a step of Adam for every message."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    spec = importlib.util.spec_from_file_location("peer", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loss = module.make(scale, spline)
    hr = torch.rand(1, 3, size, size)
    lr = F.interpolate(hr, scale_factor=1 / scale, mode="area")
    optimizer = torch.optim.Adam([parameter for parameter in loss.parameters() if parameter.requires_grad], 1e-5)
    while pipe.recv():
        optimizer.zero_grad()
        loss(hr, lr).backward()
        optimizer.step()
        pipe.send("done")


if __name__ == "__main__":
    main()
