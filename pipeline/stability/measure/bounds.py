"""What can be stated of a network for every input: how steep its couplings are, how large its output can get.

**The affine skeleton.** Going back from the latent, a coupling or injector l adds d_l to the channels that it
transforms, and its transform says that no entry of d_l exceeds its displacement, whatever the nets inside compute. All
that stands between (activation norms, 1x1 convolutions, squeezes) is affine with fixed weights. A split's early half is
mean + deviation * eps, and its prior says how large either may be; the enlarged picture that a super-resolution flow
adds to, and the mean of a low-light flow's latent, lie in an interval. So

    x = b + sum over l of A_l d_l + sum over m of A_m D_m e_m,   |d_l| <= r_l,   0 <= D_m <= s_m,

exactly, for every condition and every latent e; m counts the latent (s = 1) and what left early. Hence

    |x_i| <= |b_i| + sum of |A_l,ij| r_l + k sum of |A_m,ij| s_m   for latents with entries in [-k, k],

and no smaller bound follows from these sizes: d_l and e_m with the signs of row i attain it. Unlike a product of norms
it knows which channels meet, and in which direction. A shield knows an interval of d_l per channel, whose middle goes
into b. Its tails (models/restoration/tails.py) are an increasing map of every x_i: the ends of its interval go through.

**Its coefficients.** The affine layers work pixel by pixel, so what becomes of one pixel of the coarsest level is one
block of the picture, the same for all. One pixel goes through the skeleton, in as many copies as the block has values;
the gradient of value i in copy i with respect to every d_l and e_m is row i of A_l and A_m.

**Draws.** For e ~ N(0, I), g_i = sum of (A_m D_m e_m)_i is normal in steps: the coarsest latents first, then what left
early, with a deviation that the former determine, and so on. It is a Brownian motion stopped at a time that its past
determines, no later than s_i^2 = sum of (A_m,ij s_m)^2. By the reflection principle P(|g_i| > k s_i) <= 4 Phi(-k). So

    |x_i| <= |b_i| + sum of |A_l,ij| r_l + k s_i   but for one value in 250 million at k = 6:

that all latents are at 6 standard deviations at once, each with the worst sign, no draw ever meets.

Not bounded is how fast the output changes with the latent across couplings: that depends on the nets inside.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.flow.bijection import At, Bijection, Chain, described
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import BoundedConv1x1, FixedOrthogonalConv1x1, InvertibleConv1x1
from models.flow.layers.permutation import Permutation
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.transforms import Shield
from models.restoration.flow import RestorationFlow
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow
from models.restoration.tails import Tails
from pipeline.pictures.eight_bit import BAD_ABOVE, BAD_BELOW
from pipeline.stability.measure.jacobian import float64_copy

# Bicubic enlargement (a = -0.75) of pictures in [0, 1]: halfway between pixels an axis has positive weights of 1.1875
# in all and negative ones of -0.1875, and the products of equal sign are positive.
_BICUBIC_PEAK = 1.1875**2 + 0.1875**2
_ROWS = 96  # of A at a time
LATENT, BASE, MEAN = "latent", "base", "mean"  # roles, beside those of places
_OF_THE_CONDITION = (BASE, MEAN)


class Part(NamedTuple):
    """What one layer may add to the N values of a block."""

    layer: str
    role: str
    radius: float  # r_l
    deviation: float  # s_m
    total: Tensor  # (N,), sum over j of |A_ij|
    squares: Tensor  # (N,), sum over j of A_ij^2

    def reach(self, latent: float) -> Tensor:
        """Return how far the values go at most, for latents with entries in [-latent, latent]."""
        return self.total * (self.radius + latent * self.deviation)


@dataclasses.dataclass(frozen=True)
class OutputBound:
    """The bounds of the N values of a block, for every condition."""

    centre: Tensor  # (N,), b
    parts: tuple[Part, ...]
    tails: Tails | None = None

    def value(self, latent: float) -> float:
        """Return what no value exceeds in magnitude, for any latent with entries in [-latent, latent]."""
        return float(self._magnitudes(self._reach(latent)).max())

    def draw(self, latent: float) -> float:
        """Return what no value exceeds in magnitude but with probability 4 Phi(-latent), for latents from N(0, I)."""
        return float(self._magnitudes(self._reach(0.0) + latent * self._deviations()).max())

    def good_latent(self) -> float | None:
        """Return the largest k for which no value is bad, outside of [-0.5, 1.5] behind any tails, for any latent with
        entries in [-k, k]; None if bad values are not ruled out at the latent 0.
        """
        return self._within(self._reach(1.0) - self._reach(0.0))

    def good_draw(self) -> float | None:
        """Return the largest k for which a value of a draw at temperature T is bad with probability 4 Phi(-k / T) at
        most, for any condition that does not depend on the latent; None if bad values are not ruled out at latent 0.
        """
        return self._within(self._deviations())

    def _within(self, per_sigma: Tensor) -> float | None:
        """Return up to how many standard deviations of the latent values stay good that move so far with each."""
        ends = self.centre.new_tensor([BAD_BELOW, BAD_ABOVE])
        low, high = ends if self.tails is None else self.tails.forward(ends[None])[0][0]
        room = torch.minimum(high - self.centre, self.centre - low) - self._reach(0.0)
        return None if bool((room < 0).any()) else float((room / per_sigma).min())

    def distance(self, latent: float) -> float:
        """Return what the root mean square of the difference of two draws of one condition cannot exceed.

        What the condition alone decides is the same in both.
        """
        reach = torch.stack([part.reach(latent) for part in self.parts if part.role not in _OF_THE_CONDITION]).sum(0)
        apart = 2.0 * reach
        return float((apart if self.tails is None else self.tails.farthest_apart(apart)).square().mean().sqrt())

    def worst(self, latent: float) -> int:
        """Return which of the values ``value`` is of."""
        return int(self._magnitudes(self._reach(latent)).argmax())

    def before_tails(self, latent: float) -> float:
        """Return what tails make ``value`` of: the magnitude, before them, of the end that is farthest behind them."""
        reach, worst = self._reach(latent), self.worst(latent)
        before = dataclasses.replace(self, tails=None)._ends(reach)[:, worst]
        return float(before[self._ends(reach)[:, worst].argmax()])

    def _reach(self, latent: float) -> Tensor:
        return torch.stack([part.reach(latent) for part in self.parts]).sum(0)

    def _deviations(self) -> Tensor:
        """Return s_i."""
        return torch.stack([part.squares * part.deviation**2 for part in self.parts]).sum(0).sqrt()

    def _magnitudes(self, reach: Tensor) -> Tensor:
        return self._ends(reach).amax(0)

    def _ends(self, reach: Tensor) -> Tensor:
        """Return how far each value goes up, and down, ``(2, N)``."""
        high, low = self.centre + reach, self.centre - reach
        if self.tails is not None:
            high, low = (self.tails.inverse(end[None])[0][0] for end in (high, low))
        return torch.stack([high, -low])


class Slopes(NamedTuple):
    """What holds of every coupling and injector, elementwise."""

    least: float
    largest: float
    displacement: float


def coupling_bounds(network: Bijection) -> Slopes:
    """Return the least and the largest slope of any transform in ``network`` and its largest displacement."""
    transforms = {module.transform for module in network.modules() if isinstance(module, Coupling | Injector)}
    least, most = zip(*(transform.derivative_bounds() for transform in transforms), strict=True)
    return Slopes(min(least), max(most), max(transform.displacement_bound() for transform in transforms))


def restoration_bound(network: RestorationFlow) -> OutputBound | None:
    """Return the bounds of what ``network`` gives back for pictures in [0, 1]; None where a layer has none."""
    return output_bound(network, network.latent_shape(network.multiple, network.multiple))


@torch.enable_grad()
def output_bound(network: Bijection, shape: Sequence[int]) -> OutputBound | None:
    """Return the bounds of ``network.inverse``; None where a layer has none, or is not known.

    ``shape``: (C, h, w) of the latent of one block, such as one pixel of the coarsest level; the output has N = C h w
    values.
    """
    network, count, device = float64_copy(network), math.prod(shape), _device_of(network)
    skeleton = _Skeleton()
    chunks: list[list[Tensor]] = []
    try:
        for first in range(0, count, _ROWS):
            block = torch.zeros(min(_ROWS, count - first), *shape, dtype=torch.float64, device=device)
            skeleton = _Skeleton()
            z = skeleton.unknown(block, LATENT, LATENT, deviation=1.0)
            values = inverse_skeleton(network, z, skeleton).flatten(1).diagonal(first)
            chunks.append([values.detach(), *skeleton.coefficients(values)])
    except _NoBoundError:
        return None
    centre, *found = (torch.cat(chunk) for chunk in zip(*chunks, strict=True))
    if not all(bool(each.isfinite().all()) for each in (centre, *found)):
        return None
    every = zip(skeleton.unknowns, found[::2], found[1::2], strict=True)
    parts = tuple(Part(*unknown[:2], *unknown[3:], *sums) for unknown, *sums in every)
    return OutputBound(centre, parts, network.tails if isinstance(network, RestorationFlow) else None)


class _NoBoundError(Exception):
    """A layer of which nothing is known, or one without a bound."""


class _Unknown(NamedTuple):
    layer: str
    role: str
    leaf: Tensor  # (rows, C, h, w)
    radius: float
    deviation: float


class _Skeleton:
    """What is not known of a block, but for its size, as it is met from latent to picture."""

    def __init__(self) -> None:
        self.unknowns: list[_Unknown] = []

    def unknown(self, centre: Tensor, layer: str, role: str, radius: float = 0.0, deviation: float = 0.0) -> Tensor:
        """Return a leaf that holds ``centre`` and stands for radius * [-1, 1] + deviation * (a latent) around it."""
        if not math.isfinite(radius + deviation):
            raise _NoBoundError
        leaf = centre.detach().clone().requires_grad_()
        self.unknowns.append(_Unknown(layer, role, leaf, radius, deviation))
        return leaf

    def coefficients(self, values: Tensor) -> Iterator[Tensor]:
        """Yield ``total`` and ``squares`` of every unknown in ``values`` (rows,), of which value i is one of copy i."""
        for gradient in torch.autograd.grad(values.sum(), [unknown.leaf for unknown in self.unknowns]):
            yield gradient.abs().flatten(1).sum(1)
            yield gradient.square().flatten(1).sum(1)


@functools.singledispatch
def inverse_skeleton(layer: Bijection, z: Tensor, skeleton: _Skeleton) -> Tensor:
    """Return ``layer.inverse(z)`` with what depends on nets as unknowns of ``skeleton``."""
    raise _NoBoundError


@inverse_skeleton.register
def _(layer: Chain, z: Tensor, skeleton: _Skeleton) -> Tensor:
    for inner in reversed(layer._layers()):
        z = inverse_skeleton(inner, z, skeleton)
    return z


@inverse_skeleton.register
def _(layer: At, z: Tensor, skeleton: _Skeleton) -> Tensor:
    return inverse_skeleton(layer.inner, z, skeleton)


@inverse_skeleton.register
def _(
    layer: ActNorm | BoundedConv1x1 | FixedOrthogonalConv1x1 | InvertibleConv1x1 | Permutation | Squeeze,
    z: Tensor,
    skeleton: _Skeleton,
) -> Tensor:
    return layer.inverse(z)[0]


@inverse_skeleton.register
def _(layer: Coupling | Injector, z: Tensor, skeleton: _Skeleton) -> Tensor:
    # c^-1 moves a value by the negative of what c moves another one by
    passed, transformed = z[:, : -layer.transformed], z[:, -layer.transformed :]
    least, largest = (moved[:, None, None] for moved in _displacements(layer, z))
    radius = 0.5 * (largest - least)
    most = float(radius.max())
    unknown = skeleton.unknown(torch.zeros_like(transformed), described(layer), _role(layer), most)
    return torch.cat([passed, transformed + unknown * (radius / most) - 0.5 * (least + largest)], 1)


@inverse_skeleton.register
def _(layer: Split, z: Tensor, skeleton: _Skeleton) -> Tensor:
    came_through = z[:, : -layer.consumed * layer.factor**2]
    x1 = inverse_skeleton(layer.rest, came_through, skeleton)
    mean, deviation = layer.prior_bounds()
    early = x1.new_zeros(x1.shape[0], layer.consumed, *x1.shape[2:])
    return torch.cat([x1, skeleton.unknown(early, described(layer), _role(layer), mean, deviation)], 1)


@inverse_skeleton.register
def _(layer: SuperResolutionFlow, z: Tensor, skeleton: _Skeleton) -> Tensor:
    x = inverse_skeleton(layer.flow, z, skeleton)
    if not layer.residual:
        return x
    radius = min(_BICUBIC_PEAK, 1.0 + layer.overshoot) - 0.5
    return x + skeleton.unknown(torch.full_like(x, 0.5), "enlarged picture", BASE, radius)


@inverse_skeleton.register
def _(layer: LowLightFlow, z: Tensor, skeleton: _Skeleton) -> Tensor:
    # the colour map is a sigmoid
    mean = skeleton.unknown(torch.full_like(z, 0.5), "colour map", MEAN, 0.5)
    return inverse_skeleton(layer.flow, z + mean, skeleton)


def _displacements(layer: Coupling | Injector, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far its transform moves values, per channel, from below and above, of the type of ``z``."""
    if isinstance(layer.transform, Shield):
        least, largest = layer.transform.displacements()
        return least.to(z), largest.to(z)
    most = z.new_full((layer.transformed,), layer.transform.displacement_bound())
    return -most, most


def _device_of(network: Bijection) -> torch.device:
    tensors = itertools.chain(network.parameters(), network.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _role(layer: Bijection) -> str:
    return layer.place.role if layer.place else type(layer).__name__.lower()
