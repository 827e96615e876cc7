"""Time of every transform relative to the affine one and to the published spline's: `python benchmarks/transforms.py`.

Each transform does the same work: the coupling of a level-1 map of a 160 x 160 picture in a batch of 8,
forward and inverse, for training (with backward) and for sampling. The order changes from round to round and the
lower quartile of each counts, so that other load on the machine and the allocator's state fall out.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch

from models.flow.transforms import TRANSFORMS

_SHAPE = (8, 6, 80, 80)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    x = torch.randn(_SHAPE)
    transforms = {name: kind() for name, kind in TRANSFORMS.items()}
    raw = {name: torch.randn(8, 6 * t.parameters_per_channel, 80, 80) for name, t in transforms.items()}
    taken = {(work, name): [] for work in (forward, inverse, train) for name in transforms}
    for _ in range(arguments.rounds):
        for work, name in random.sample(list(taken), len(taken)):
            work(transforms[name], x, raw[name])  # untimed: lets the allocator settle on this transform's needs
            start = time.perf_counter()
            work(transforms[name], x, raw[name])
            taken[work, name].append(time.perf_counter() - start)
    quartile = {key: statistics.quantiles(seconds)[0] for key, seconds in taken.items()}
    print(f"{'':35}{'ms':>6}{'/ affine':>10}{'/ spline':>10}")
    for (work, name), seconds in quartile.items():
        affine, spline = quartile[work, "affine"], quartile[work, "rational_quadratic_spline"]
        print(f"{work.__name__:8} {name:26}{1e3 * seconds:6.1f}{seconds / affine:10.2f}{seconds / spline:10.2f}")


@torch.no_grad()
def forward(transform, x, raw):
    """Encode."""
    transform.forward(x, raw)


@torch.no_grad()
def inverse(transform, x, raw):
    """Decode, as sampling does."""
    transform.inverse(x, raw)


def train(transform, x, raw):
    """Encode and go back to x and to the raw parameters."""
    x, raw = x.detach().requires_grad_(), raw.detach().requires_grad_()
    y, log_derivative = transform.forward(x, raw)
    (y.sum() + log_derivative.sum()).backward()


if __name__ == "__main__":
    main()
