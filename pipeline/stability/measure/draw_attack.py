"""Attacks on draws: the input and the latent that carry what a flow gives back farthest, by signed gradient ascent.

Three goals: the largest magnitude of a value, the share of bad values (paper A, section 3.2), and how far two draws of
one input are apart. Input and latent climb together, as one vector in one box (``ascent.py``). A step is 2.5 times the
box's half side over the number of steps, so that all of the box can be crossed (Madry et al. 2018).

A maximum and a share have no useful gradient, or none: a smooth function that grows with them gives the direction, and
what counts is the number itself. A shield's tails are undone for the direction, and kept for what counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.restoration.flow import RestorationFlow
from pipeline.stability.measure.ascent import Ascent, Box, ascend

_CROSSINGS = 2.5
_SHARPNESS = 8.0  # per unit of a value, of the smooth maximum


class Goal(NamedTuple):
    """What is made large: a function of draws ``(B, 3, H, W)`` of B inputs, un-clamped, to ``(B,)``."""

    draws: int
    of: Callable[..., Tensor]


def largest_magnitude(x: Tensor) -> Tensor:
    """Return the largest |x| of each input."""
    sizes = x.double().abs().flatten(1)  # eight times the largest float32 is none
    return _steered(sizes.amax(1), torch.logsumexp(_SHARPNESS * sizes, 1))


def bad_share(x: Tensor) -> Tensor:
    """Return the share of values outside of [-0.5, 1.5], or not finite, of each input."""
    off = (x - 0.5).abs().flatten(1)
    climbing = off.masked_fill(~off.isfinite(), 1.0)
    # what is bad already climbs on a little, so that there is a direction to go in to the end
    smooth = climbing.clamp(max=1.0) + 0.01 * climbing.clamp(max=100.0)
    return _steered(1.0 - (off <= 1.0).double().mean(1), smooth.mean(1))


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the root mean square of the difference of two draws."""
    return (first - second).double().flatten(1).square().mean(1).sqrt()


GOALS = {"largest": Goal(1, largest_magnitude), "bad_share": Goal(1, bad_share), "distance": Goal(2, distance)}


def attack_draws(
    network: RestorationFlow,
    goal: Goal,
    seen: Tensor,
    z: Tensor,
    inputs: Box,
    latents: Box,
    steps: int,
    generators: Sequence[torch.Generator],
    said: str = "",
) -> Ascent:
    """Attack B inputs ``seen`` ``(B, C, h, w)`` with latents ``z`` ``(goal.draws, B, C', h', w')``, each in its box.

    ``inputs`` and ``latents``: shaped as ``seen`` and ``z``, or broadcast over them. ``generators``, ``said``: see
    ``ascend``. The ``point`` of what is found is both as one vector, the input first.
    """
    join = functools.partial(_joined, seen, z)
    box = Box(join(inputs.lower, latents.lower), join(inputs.upper, latents.upper))
    size = (box.upper - box.lower) * (0.5 * _CROSSINGS / steps)

    def objective(point: Tensor) -> Tensor:
        at, latent = point[:, : seen[0].numel()], point[:, seen[0].numel() :]
        shared = network.share(at.reshape(-1, *seen.shape[1:]))
        own = latent.reshape(-1, len(z), *z.shape[2:]).unbind(1)
        draws = [network.inverse(each, shared)[0] for each in own]
        if network.tails is None:
            return goal.of(*draws)
        # steered by what a shield's tails are given: behind them smooth functions of values beyond are flat
        return _steered(goal.of(*draws), goal.of(*(network.tails(x)[0] for x in draws)))

    return ascend(objective, join(seen, z), box, steps, size, generators, said=said)


def _joined(seen: Tensor, z: Tensor, at: Tensor, latent: Tensor) -> Tensor:
    latent = latent.expand_as(z).transpose(0, 1)
    return torch.cat([at.expand_as(seen).flatten(1), latent.flatten(1)], 1)


def _steered(value: Tensor, smooth: Tensor) -> Tensor:
    """Return ``value`` with the gradient of ``smooth``."""
    return value.detach() + (smooth - smooth.detach()).to(value)
