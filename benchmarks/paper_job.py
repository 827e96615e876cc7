"""A paper-scale training on 1 to 64 GPUs: how long, how much memory, what moves, and what limits when.

    steadyflow check-paper --tasks df2k_x4 --variants rq_spline --batch 1   # measures a step and the peak here
    python benchmarks/paper_job.py --step 5.1 --peak 2.9 --fixed 0.87 --speedup 100

``--step``: seconds of a step of one picture on the machine that measured it; ``--peak``: GiB that its process held;
``--fixed``: of these what does not grow with the batch (weights, gradients, Adam's moments, the process): twice the
peak at --batch 1 less that at --batch 2. ``--speedup``: how many times as fast a GPU is, which nobody can know from a
CPU: measure it with check-paper on one. All else is arithmetic:

    step on n GPUs = per-GPU batch * step / speedup + 2 (n - 1) / n * gradients / link    (ring all-reduce, not hidden)

Memory per GPU is ``fixed`` + per-GPU batch * (peak - fixed). A checkpoint is weights, Adam's two moments, the average
if there is one; data are the crops that all GPUs read, uint8. Steps per second needed are those for ``--days``.
"""

from __future__ import annotations

import argparse

from arms import VARIANTS, experiment_of

from pipeline.feasibility.profile import published_sizes
from pipeline.training.model_configs import flow_config

GIB = 2**30


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=float, required=True)
    parser.add_argument("--peak", type=float, required=True)
    parser.add_argument("--fixed", type=float, required=True)
    parser.add_argument("--speedup", type=float, required=True)
    parser.add_argument("--task", default="df2k_x4")
    parser.add_argument("--arm", choices=VARIANTS, default="spline")
    parser.add_argument("--gpus", default="1,2,4,8,16,32,64")
    parser.add_argument("--link", type=float, default=10.0, help="GiB/s between GPUs (%(default)s)")
    parser.add_argument("--memory", type=float, default=24.0, help="GiB of a GPU (%(default)s)")
    parser.add_argument("--disk", type=float, default=1.0, help="GiB/s that checkpoints are written with (%(default)s)")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between checkpoints (%(default)s)")
    parser.add_argument("--days", type=float, default=7.0, help="how long the training may take (%(default)s)")
    arguments = parser.parse_args()
    experiment = experiment_of("paper", arguments.task, arguments.arm)
    training, crop = experiment.settings.training, experiment.settings.data.crop
    parameters = (published_sizes(flow_config(experiment)) or (0,))[0]
    needed = training.steps / arguments.days / 86_400
    print(
        f"{arguments.task} {arguments.arm}: {training.steps:,} steps of {training.batch} pictures of {crop} x {crop},"
    )
    print(f"{parameters / 1e6:.2f} M values; in {arguments.days:g} days: {needed:.3f} steps/s needed")
    print("GPUs  batch/GPU      days  steps/s  comm. %  GiB/GPU  data MiB/s  checkpoint GiB  % of time  limit")
    for gpus in map(int, arguments.gpus.split(",")):
        print(line(gpus, training, crop, parameters, arguments))


def line(gpus, training, crop, parameters, given):
    """Return the row of so many GPUs."""
    used = min(gpus, training.batch)  # a GPU without a picture has nothing to do
    batch = -(-training.batch // used)
    weights = 4 * parameters / GIB
    compute = batch * given.step / given.speedup
    exchange = 2 * (used - 1) / used * weights / given.link
    step = compute + exchange
    memory = given.fixed + batch * (given.peak - given.fixed)
    data = training.batch * 3 * crop**2 / step / 2**20
    checkpoint = weights * (4 if training.ema_decay else 3)
    writing = checkpoint / given.disk / (given.every + checkpoint / given.disk)
    days = training.steps * step / (1 - writing) / 86_400 if writing < 1 else float("inf")
    limits = {"memory": memory > given.memory, "batch": gpus > training.batch, "exchange": exchange > compute}
    limit = next((name for name, holds in limits.items() if holds), "compute")
    return (f"{gpus:<5} {batch:>9} {days:>9,.2f} {1 / step:>8.3f} {100 * exchange / step:>8.1f} {memory:>8.1f} "
            f"{data:>11.2f} {checkpoint:>15.2f} {100 * writing:>10.1f}  {limit}")  # fmt: skip


if __name__ == "__main__":
    main()
