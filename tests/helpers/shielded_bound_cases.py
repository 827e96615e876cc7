"""Shielded flows that reach the bound of their output: cases as in bound_cases.py, with ranges set by hand.

Ranges differ from channel to channel and lie unevenly about 0; ellipsoids are too large to matter. Of three channels in
turn the first has the widest range and the second reaches farthest, so a bound that mistakes a range for its mirror
image, its middle for 0 or one channel for another is another number.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import torch
from bound_cases import (
    SATURATED,
    SHIFT,
    Case,
    condition_of,
    low_light,
    randomized,
    super_resolution,
    wide_actnorm,
    with_nets,
)

from models.flow.bijection import Chain
from models.flow.caps import Caps
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.ranges import JointRange, Range
from models.flow.transforms import (
    Additive,
    Affine,
    CertifiedSpline,
    RangedAffine,
    RationalQuadraticSpline,
    Shield,
    Transform,
)

MARGIN = 0.1
LOW, HIGH = (-0.5, -0.1, -0.1), (0.6, 0.9, 0.2)
# Of three means and log deviations. All channels and both signs have one bound, which the second channel's range sets.
MEANS = (-0.1, 0.3), (-0.6, 0.2), (-0.2, 0.1)
LOG_DEVIATIONS = (-0.5, 0.1), (-0.2, 0.5), (-0.3, 0.3)
KNOT = 9.0  # a raw parameter in [-KNOT, KNOT] brings a knot to the edge of its box, nearly


def shielded(case: Case) -> Case:
    """Put ranges around every net of ``case``; those of priors are the same for all channels."""
    for module in with_nets(case.layer):
        if isinstance(module, Split):
            module.prior_range = JointRange(2 * module.consumed, MARGIN)
            set_range(module.prior_range, (-0.4, -0.5), (0.4, 0.5))
        else:
            module.transform = Shield(module.transform, module.transformed, MARGIN)
            set_range(module.transform.raw, LOW, HIGH)
            set_range(module.transform.values, LOW, HIGH)
    return case


def set_range(one: Range, low: Sequence[float], high: Sequence[float]) -> None:
    """Give the entries of ``one`` these ranges in turn, whatever they are together."""
    one.double()
    for end, values in ((one.low, low), (one.high, high)):
        end.copy_(torch.tensor(values)[torch.arange(one.entries) % len(values)])
    if isinstance(one, JointRange):
        one.centre.copy_(one.low)
        one.radius.fill_(1e6)


def layer(
    kind: type[Coupling | Injector],
    transform: Transform,
    others: Sequence[float | tuple[float, ...]] = (0.0,),
    less: float = 0.3,
) -> Case:
    """Return one that transforms three channels, beside which passed ones are small.

    ``less``: a constant that is taken off, so that it matters on which side of 0 an interval lies.
    """
    passed = 0 if kind is Injector else 2
    norm = wide_actnorm(*[0.1] * passed, *[1.0] * 3, bias=less)
    chain = Chain([norm, randomized(kind(passed + 3, transform, 1, 2))])
    return shielded(Case(chain, (passed + 3, 1, 1), condition_of(chain), others=others))


def spline(transform: CertifiedSpline | RationalQuadraticSpline, farthest: float) -> Case:
    """Return a coupling whose knots come to corners of their box; there +- ``farthest`` are moved farthest."""
    corners = [(*corner, 0.0) for corner in itertools.product((-SATURATED, SATURATED), repeat=3)]
    case = layer(Coupling, transform, corners)
    (module,) = with_nets(case.layer)
    set_range(module.transform.values, (-farthest,), (farthest,))
    low, high = (
        [raw for end in ends for raw in (knot, knot, knot, end)] for knot, ends in ((-KNOT, LOW), (KNOT, HIGH))
    )
    set_range(module.transform.raw, low, high)
    return case


def split(way: float) -> Case:
    """Three channels leave early, of which the second counts most; ``way``: where its mean gets farther."""
    early = Split(5, Chain([Squeeze(), wide_actnorm(*[0.3] * 8)]), factor=2).double().requires_grad_(False)
    chain = Chain([wide_actnorm(1.0, 1.0, 1.0, 2.0, 1.0, bias=-0.7 * way), early])
    case = shielded(Case(chain, (8 + 12, 1, 1)))
    means = [sorted((-way * low, -way * high)) for low, high in MEANS]
    ends = [end for pair in zip(means, LOG_DEVIATIONS, strict=True) for end in pair]
    set_range(early.prior_range, *zip(*ends, strict=True))
    return case


# These move values by a shift alone; scales below 1 move the values farthest that lie farthest.
SHIFTS = {"additive": Additive(), "certified spline": SHIFT, "spline": RationalQuadraticSpline(bound=1e-9)}
SCALES = {
    "affine": Affine(),
    "ranged affine": RangedAffine(),
    "ranged affine, shift first": RangedAffine(least=0.01, most=1.01, shift_first=True),
}
SHIELDED: dict[str, Callable[[], Case]] = {
    **{f"shielded coupling, {name}": functools.partial(layer, Coupling, each) for name, each in SHIFTS.items()},
    **{
        f"shielded coupling, {name}{end}": functools.partial(layer, Coupling, each, (-SATURATED, SATURATED), less)
        for name, each in SCALES.items()
        for end, less in (("", 0.3), (", its upper end", -2.0))
    },
    "shielded coupling, certified spline with a box": lambda: spline(CertifiedSpline(bound=1.0, lipschitz=4.0), 0.386),
    "shielded coupling, spline with a box": lambda: spline(RationalQuadraticSpline(bound=1.0), 0.9977),
    "shielded injector": lambda: layer(Injector, SHIFT),
    "shielded split": lambda: split(1.0),
    "shielded split, the other way": lambda: split(-1.0),
    "shielded super-resolution": lambda: shielded(super_resolution(caps=Caps(overshoot=0.1))),
    "shielded low light": lambda: shielded(low_light()),
}
