"""Time, memory and FLOPs of training, encoding and drawing, as ratios of arms that take turns in one run.

    python benchmarks/performance.py --out performance        # the published sizes, 4x and 8x: a quarter of an hour
    python benchmarks/performance.py --quick                  # tiny networks, a minute: does it run at all
    python benchmarks/performance.py --peer ../robustNF       # beside paper A's released code, from your checkout

Networks are those of profile paper (4x 41.66 M parameters affine, 46.55 M spline), on one random picture of 160 x 160.
"plain form" is the same network without what was made faster: features enlarged before they are convolved, splines as
tensor operations. Without ``--peer`` it stands in the place of the published code, whose own speed it does not tell.

``--peer PATH``: a checkout of a published network's code (benchmarks/published_code.py says which and how it is run),
which runs in a process of its own; its process and ours take turns. Such code has needs of its own, such as natsort.

``--compiled``: also with splines by what ``torch.compile`` makes of their plain form, if there is a compiler.

Every row has the median of the rounds, its spread (largest less least, over the median), the ratio to the first row of
its group, and where FLOPs are counted (``torch.utils.flop_counter``: convolutions and products of matrices) their
number and the share of this machine's measured convolution peak that the median reaches. Peaks of memory are those of a
process per arm, beyond what it held before the step (Linux). Times of a machine with other load are good for ratios at
most, and better ones with ``--processor``: the processor's seconds, on one thread, which leave out those in which
another process had its core (a peer's are not counted so).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import alone
import torch
from arms import (
    VARIANTS,
    Arm,
    always,
    bfloat16,
    can_compile,
    compiled_splines,
    experiment_of,
    frozen,
    interleaved,
    plain_form,
    spread,
)
from peak_memory import reset_peak, resident
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from pipeline.console import progress, run_main, say
from pipeline.errors import SteadyflowError
from pipeline.feasibility.profile import run_alone
from pipeline.files import write_csv

BOTH = ("spline", "affine")
TASKS = {4: "df2k_x4", 8: "df2k_x8"}
GROUPS = ("training", "encoding", "drawing", "memory")
COLUMNS = ("group", "arm", "median, s", "spread", "ratio", "GFLOP", "share of peak", "MiB")


class Turns(NamedTuple):
    """How often arms take their turn, FLOP/s of the convolution peak, what counts the seconds; with compiled arms?"""

    rounds: int
    peak: float
    clock: Callable[[], float]
    compiled: bool


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="networks of profile smoke, one round")
    parser.add_argument("--size", type=int, default=160, help="pixels a side (%(default)s)")
    parser.add_argument("--scales", default="4,8")
    parser.add_argument("--groups", default=",".join(GROUPS), help="%(default)s; parts alone are always timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor", action="store_true", help="count this process's own seconds alone")
    parser.add_argument("--compiled", action="store_true", help="with arms whose splines are compiled, see above")
    parser.add_argument("--peer", type=Path, help="a checkout, see above")
    parser.add_argument("--out", type=Path, help="folder for performance.csv")
    arguments = parser.parse_args()
    if arguments.size < 32 or arguments.size % 32:
        parser.error(f"--size: a multiple of 32, from 32; got {arguments.size}")
    scales, chosen = scales_of(parser, arguments.scales), arguments.groups.split(",")
    if unknown := set(chosen) - {*GROUPS, ""}:
        parser.error(f"--groups: {', '.join(sorted(unknown))} is none; allowed: {', '.join(GROUPS)}, or '' for none")
    if arguments.processor and (arguments.threads > 1 or arguments.peer):
        parser.error("--processor is for one thread, and without --peer")
    if arguments.peer and not (arguments.peer / "confs" / "4X.yml").is_file():
        parser.error(f"--peer {arguments.peer} is no checkout of robustNF or FS-NCSR: it has no confs/4X.yml")
    torch.set_num_threads(arguments.threads)
    size, rounds = (32, 1) if arguments.quick else (arguments.size, arguments.rounds)
    profile = "smoke" if arguments.quick else "paper"
    clock = time.process_time if arguments.processor else time.perf_counter
    peak = convolution_peak(0.2 if arguments.quick else 2.0, clock)
    say(f"convolution peak {peak / 1e9:.0f} GFLOP/s on {arguments.threads} thread(s), measured")
    with_compiled = arguments.compiled and can_compile()
    rows = alone_rows(arguments.quick, Turns(2 if arguments.quick else 5 * rounds, peak, clock, with_compiled))
    timed = {"training": training, "encoding": encoding, "drawing": drawing}
    groups = [(scale, timed[name]) for scale in scales for name in chosen if name in timed]
    for scale, group in progress(groups, "performance"):
        with peers_of(arguments.peer, scale, size) as peers:
            rows += group(profile, scale, size, Turns(rounds, peak, clock, with_compiled), peers)
        save(rows, arguments.out)
    for scale in scales if "memory" in chosen else ():
        rows += memory_rows(profile, scale, size, arguments.threads, arguments.peer)
    save(rows, arguments.out)
    show(rows, f"profile {profile}, {size} x {size}, batch 1, {arguments.threads} thread(s)")


def scales_of(parser, text):
    """Return the scales of ``--scales``; ends with a line for others than there are."""
    chosen = text.split(",")
    if unknown := [scale for scale in chosen if scale not in map(str, TASKS)]:
        parser.error(f"--scales: {', '.join(unknown)} is none; allowed: {', '.join(map(str, TASKS))}")
    return [int(scale) for scale in chosen]


def show(rows, title):
    """Print ``rows``, whose first two cells are names, as a table."""
    table = Table(title=title)
    for place, column in enumerate(rows[0]):
        table.add_column(column, justify="left" if place < 2 else "right")
    for row in rows:
        table.add_row(*row.values())
    Console(width=150).print(table)


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


def training(profile, scale, size, turns, peers):
    """Return the rows of one optimizer step."""
    arms = arms_of(profile, scale, size)
    spline, affine = arms["spline"], arms["affine"]
    works = {
        "spline, plain form": (plain_form, spline.step),
        "affine, plain form": (plain_form, affine.step),
        **{name: (always, arm.step) for name, arm in arms.items()},
        "spline, nets in bfloat16": (functools.partial(bfloat16, spline), spline.step),
        "affine, nets in bfloat16": (functools.partial(bfloat16, affine), affine.step),
        **compiled({"spline": spline.step, "certified": arms["certified"].step}, turns),
        "spline, encoder frozen": (functools.partial(frozen, spline), spline.step),
        "affine, encoder frozen": (functools.partial(frozen, affine), affine.step),
    }
    return rows_of(f"training step {scale}x", works, turns, peers, "step")


def encoding(profile, scale, size, turns, peers):
    """Return the rows of encoding a picture."""
    arms = arms_of(profile, scale, size)
    plain = {f"{name}, plain form": (plain_form, arms[name].encode) for name in ("spline", "affine")}
    works = plain | {name: (always, arm.encode) for name, arm in arms.items()}
    works |= compiled({"spline": arms["spline"].encode}, turns)
    return rows_of(f"encode {scale}x", works, turns, peers, "encode")


def drawing(profile, scale, size, turns, peers):
    """Return the rows of one draw and of ten."""
    arms, rows = arms_of(profile, scale, size), []
    for count in (1, 10):
        plain = {"spline, plain form": (plain_form, functools.partial(arms["spline"].draw, count))}
        ours = {name: (always, functools.partial(arm.draw, count)) for name, arm in arms.items()}
        ours |= compiled({"spline": ours["spline"][1]}, turns)
        if count > 1:
            ours["spline, as one batch"] = (always, functools.partial(arms["spline"].draw, count, count))
        rows += rows_of(f"draw {count} {scale}x", plain | ours, turns, peers, f"draw {count}")
    return rows


def compiled(works, turns):
    """Return ``works`` with their splines compiled, by the names of the arms, if ``--compiled`` was given."""
    return {f"{name}, splines compiled": (compiled_splines, work) for name, work in works.items() if turns.compiled}


def arms_of(profile, scale, size):
    """Return one flow per variant."""
    return {name: Arm(experiment_of(profile, TASKS[scale], name), size) for name in VARIANTS}


def rows_of(group, works, turns, peers=None, what=""):
    """Return a row per work, those of ``peers``, which do ``what``, first."""
    others = {f"{name}, published": functools.partial(peer.do, what) for name, peer in (peers or {}).items()}
    counted = {f"{name}, published": int(peer.do(f"flops {what}")) for name, peer in (peers or {}).items()}
    counted |= {name: flops_of(*work) for name, work in works.items()}
    rows, first = [], None
    works = {name: (always, work) for name, work in others.items()} | works
    for name, seconds in interleaved(works, turns.rounds, turns.clock).items():
        middle, width = spread(seconds)
        first = first or middle
        flops = counted[name]
        shown = (f"{flops / 1e9:.4g}", f"{flops / middle / turns.peak:.2f}") if flops else ("", "")
        cells = (group, name, f"{middle:.4f}", f"{width:.2f}", f"{middle / first:.3f}", *shown, "")
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def flops_of(context, work):
    """Return the FLOPs of one call, backward pass included."""
    with context(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def alone_rows(quick, turns):
    """Return the rows of a spline, and of a convolution of enlarged features, alone, forward and backward."""
    rows = []
    for group, works in (*alone.splines(quick, turns.compiled), *alone.enlarged(quick)):
        rows += rows_of(f"alone: {group}", works, turns)
    return rows


def memory_rows(profile, scale, size, threads, checkout):
    """Return the rows of the peak of a step."""
    if not Path("/proc/self/clear_refs").exists():
        say("peaks of memory are read from /proc, which only Linux has: left out")
        return []
    ours = functools.partial(run_alone, peak_of_step, profile, TASKS[scale])
    cases = {"spline, plain form": functools.partial(ours, "spline", "plain", True, size, threads)}
    cases |= {name: functools.partial(ours, name, "plain", False, size, threads) for name in VARIANTS}
    for mode in ("checkpoint", "reversible"):
        cases[f"spline, memory: {mode}"] = functools.partial(ours, "spline", mode, False, size, threads)
    if checkout:
        published = {
            f"{name}, published": functools.partial(peak_of_peer, checkout, scale, name, size) for name in BOTH
        }
        cases = published | cases
    rows, first = [], None
    for name, measured in progress(cases.items(), f"memory {scale}x"):
        found = measured()
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


def peak_of_peer(checkout, scale, variant, size):
    """Return the same of a published network's code."""
    with peers_of(checkout, scale, size, (variant,)) as peers:
        return int(peers[variant].do("peak step"))


@contextlib.contextmanager
def peers_of(checkout, scale, size, variants=BOTH):
    """Yield what runs ``variants`` of a checkout's networks, by their names; none without a checkout."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Peer(checkout, scale, name, size)) for name in variants if checkout}


class Peer:
    """A published network's own code in a process of its own (benchmarks/published_code.py)."""

    def __init__(self, checkout, scale, variant, size):
        self._line = [sys.executable, str(Path(__file__).with_name("published_code.py"))]
        self._line += [str(checkout), str(scale), variant, str(size), str(torch.get_num_threads())]

    def __enter__(self):
        self._said = tempfile.TemporaryFile("w+")  # a pipe would fill up
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._line, stdin=pipe, stdout=pipe, stderr=self._said, text=True)
        self._answer()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def do(self, what):
        """Have it do ``what``; return what it counted, or "done"."""
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        if line := self._process.stdout.readline().strip():
            return line
        self._said.seek(0)
        raise SteadyflowError(f"--peer: its code does not run here: {self._said.read().strip().rpartition(chr(10))[2]}")


if __name__ == "__main__":
    run_main(main)
