"""Peak memory, time and error of every way to backpropagate, against plain autograd and torch's checkpoint.

    python benchmarks/memory.py            # a quarter of an hour, 6 GB; on an otherwise idle machine
    python benchmarks/memory.py --quick    # seconds: does it run at all

The network is the conditional flow of restorations with one level: a squeeze, then as many steps (actnorm, 1x1
convolution, injector, coupling) as the depth says, affine, hidden width 24, for 8 pictures of 160 x 160, float32, with
made-up features of 8 channels that get a gradient too. One step computes -log N(z) - log_det and all gradients.
"torch" is what one writes without our modes: ``torch.utils.checkpoint`` around every layer, conditions shared before.

Every cell has a process of its own. After a first step, which leaves the gradients' own tensors and what libraries
keep, the kernel's record of the peak is reset, and the peak of resident memory during the next step less what was
resident before it is what the table shows: activations and all that is computed on the way, not parameters and
gradients. The allocator is told to give every block of 64 kB or more back at once, so that no fragments count. Times
are the processor's, the median of further steps, relative to plain autograd's in the same table; the error is the norm
of the difference to plain autograd's gradient over its norm, of all parameters and the features as one vector. Linux
alone.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import sys
import time
from pathlib import Path

import torch
from peak_memory import reset_peak, resident
from rich.console import Console
from rich.table import Table
from torch.utils.checkpoint import checkpoint

from models.flow.bijection import At, Chain, log_det_dtype, standard_normal_log_prob
from models.flow.memory_saving import MODES, save_memory
from models.flow.multiscale import multiscale_flow
from models.flow.transforms import Affine
from pipeline.console import progress
from pipeline.feasibility.profile import run_alone

BATCH, SIZE, HIDDEN, FEATURES = 8, 160, 24, 8
DEPTHS, ROUNDS = (16, 32, 64), 2
TORCH = "torch"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="depths 2 and 4, pictures of 16 x 16, one round")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if not Path("/proc/self/clear_refs").exists():
        sys.exit("benchmarks/memory.py reads the peak of memory from /proc, which only Linux has")
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # of the cells' processes
    depths, size, rounds = ((2, 4), 16, 1) if arguments.quick else (DEPTHS, SIZE, ROUNDS)
    table = Table(title=f"one step, {BATCH} pictures of {size} x {size}, {arguments.threads} thread(s)")
    for column in ("mode", "depth", "peak, MiB", f"peak / depth {depths[0]}", "time / plain", "gradient error"):
        table.add_column(column, justify="left" if column == "mode" else "right")
    plain, first = {}, {}
    modes = ("plain", TORCH, *(mode for mode in MODES if mode != "plain"))
    for mode, depth in progress(list(itertools.product(modes, depths)), "memory"):
        found = run_alone(measure, mode, depth, size, rounds, arguments.threads)
        if isinstance(found, str):
            sys.exit(f"{mode}, depth {depth}: {found}")
        peak, seconds, error = found
        plain.setdefault(depth, seconds)
        first.setdefault(mode, peak)
        ratio, slower = peak / first[mode], seconds / plain[depth]
        table.add_row(mode, str(depth), f"{peak:.1f}", f"{ratio:.2f}", f"{slower:.2f}", f"{error:.1e}")
    Console(width=100).print(table)


def measure(mode: str, depth: int, size: int, rounds: int, threads: int) -> tuple[float, float, float]:
    """Return the peak beyond what was there before a step (MiB), seconds of a step, error of its gradient."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = multiscale_flow(Affine(), 1, depth, HIDDEN, FEATURES, transitions=0)
    with torch.no_grad():
        for parameter in network.parameters():  # away from zero convolutions, which hide what is before them
            parameter.add_(0.01 * torch.randn_like(parameter))
    x = torch.rand(BATCH, 3, size, size)
    features = torch.randn(BATCH, FEATURES, size // 2, size // 2, requires_grad=True)
    save_memory(network, "plain" if mode == TORCH else mode)
    trained = [features, *network.parameters()]

    def step(walk=_through_torch if mode == TORCH else _through):
        for tensor in trained:
            if tensor.grad is not None:
                tensor.grad.zero_()
        z, log_det = walk(network, x, features)
        (-standard_normal_log_prob(z) - log_det).mean().backward()

    step()
    before = reset_peak()
    step()
    peak = (resident("VmHWM") - before) / 2**20
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    found = [tensor.grad.clone() for tensor in trained]
    save_memory(network, "plain")
    step(_through)
    difference, norm = (
        math.hypot(*(float(part.double().norm()) for part in parts))
        for parts in (
            [one - tensor.grad for one, tensor in zip(found, trained, strict=True)],
            [tensor.grad for tensor in trained],
        )
    )
    return peak, statistics.median(seconds), difference / norm


def _through(network, x, features):
    return network(x, network.share({1: {"encoder": features}}))


def _through_torch(network, x, features):
    """Walk the only level with torch's own checkpoint around every layer."""
    (level,) = network.layers
    assert isinstance(level, At) and isinstance(level.inner, Chain)
    log_det = x.new_zeros(x.shape[0], dtype=log_det_dtype(x))
    for layer, condition in zip(level.inner.layers, level.share({1: {"encoder": features}}), strict=True):
        x, change = checkpoint(layer, x, condition, use_reentrant=False)
        log_det = log_det + change
    return x, log_det


if __name__ == "__main__":
    main()
