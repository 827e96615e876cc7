"""Signed gradient ascent inside a box, many problems at once: the core of every attack (Madry et al. 2018; B, E.1).

    x <- clamp(x + size * sign(gradient of the objective), lower, upper)

The sign alone is used, so a monotone function of the objective gives the same steps. An entry of the gradient that is
not finite has sign 0. Where no entry of a problem's gradient tells a direction (it is zero, not finite, or there is
none), the step is found by search: differences of the objective along random signs, added up as in evolution
strategies (Wierstra et al. 2014). Paper B, E.1, asks for attacks without gradients; it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.console import progress

Objective = Callable[[Tensor], Tensor]  # (B, ...) -> (B,); entry i must depend on problem i alone


class Box(NamedTuple):
    """Where a point may lie; both sides broadcast over it."""

    lower: Tensor
    upper: Tensor

    def project(self, point: Tensor) -> Tensor:
        """Return the nearest point of the box."""
        return torch.minimum(torch.maximum(point, self.lower), self.upper)


class Ascent(NamedTuple):
    """What was found for each of B problems. A value that is not finite has ended its problem's ascent: no more can be
    asked for.
    """

    point: Tensor  # (B, ...), where the objective was largest or not finite
    before: Tensor  # (B,), the objective at the start
    after: Tensor  # (B,), the objective at ``point``
    steps: Tensor  # (B,) int64, steps taken
    searched: Tensor  # (B,) int64, how many of these without a gradient


def ascend(
    objective: Objective,
    start: Tensor,
    box: Box,
    steps: int,
    size: float | Tensor,
    generators: Sequence[torch.Generator],
    directions: int = 8,
    said: str = "",
) -> Ascent:
    """Return the largest ``objective`` met in ``steps`` steps of ``size`` (broadcasts over ``start``, ``(B, ...)``).

    ``generators``: one per problem, for the search's signs, so that a problem goes the same way in whatever batch it
    stands. ``directions``: that a step of the search tries, both ways. ``said``: what its progress is called; empty:
    none is shown. Raises ValueError unless there are B generators.
    """
    if len(generators) != len(start):
        raise ValueError(f"{len(start)} problems need a generator each, got {len(generators)}")
    point = box.project(start)
    before, gradient = _value_and_gradient(objective, point)
    best, after = point, before
    taken, searched = (torch.zeros(len(start), dtype=torch.int64, device=start.device) for _ in range(2))
    for _ in progress(range(steps), said) if said else range(steps):
        moving = after.isfinite()
        if not bool(moving.any()):
            break
        sign = torch.where(gradient.isfinite(), gradient, 0.0).sign()
        lost = moving & ~sign.flatten(1).any(1)
        if bool(lost.any()):
            found = _search(objective, point, box, size, lost, generators, directions)
            sign = torch.where(_like(lost, sign), found, sign)
        point = torch.where(_like(moving, point), box.project(point + size * sign), point)
        value, gradient = _value_and_gradient(objective, point)
        better = moving & (~value.isfinite() | (value > after))
        best, after = torch.where(_like(better, point), point, best), torch.where(better, value, after)
        taken, searched = taken + moving, searched + lost
    return Ascent(best, before, after, taken, searched)


def _value_and_gradient(objective: Objective, point: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        point = point.detach().requires_grad_()
        value = objective(point)
        finite = value.isfinite()
        gradient = None
        if value.requires_grad and bool(finite.any()):
            (gradient,) = torch.autograd.grad(value[finite].sum(), point, allow_unused=True)
    return value.detach(), torch.zeros_like(point) if gradient is None else gradient.detach()


@torch.no_grad()
def _search(
    objective: Objective,
    point: Tensor,
    box: Box,
    size: float | Tensor,
    lost: Tensor,
    generators: Sequence[torch.Generator],
    directions: int,
) -> Tensor:
    """Return the signs of a step for every problem that is ``lost``, zero for the others.

    A direction along which the objective is not finite is the step. Where no direction makes a difference, the last
    one is: it leaves the plateau.
    """
    rows = lost.nonzero().flatten().tolist()
    estimate, signs, decided = torch.zeros_like(point), torch.zeros_like(point), torch.zeros_like(lost)
    for _ in range(directions):
        for row in rows:
            drawn = torch.randint(2, point.shape[1:], generator=generators[row])
            signs[row] = (2 * drawn - 1).to(point)
        up, down = (objective(box.project(point + way * size * signs)) for way in (1.0, -1.0))
        for way, value in ((1.0, up), (-1.0, down)):
            found = lost & ~decided & ~value.isfinite()
            estimate = torch.where(_like(found, point), way * signs, estimate)
            decided = decided | found
        difference = torch.where((up - down).isfinite() & ~decided, up - down, 0.0)
        estimate = estimate + _like(difference, point).to(point) * signs
    step = estimate.sign()
    return torch.where(_like(step.flatten(1).any(1), step), step, signs)


def _like(per_problem: Tensor, point: Tensor) -> Tensor:
    """Return ``(B,)`` in a shape that broadcasts over ``(B, ...)``."""
    return per_problem.view(-1, *[1] * (point.dim() - 1))
