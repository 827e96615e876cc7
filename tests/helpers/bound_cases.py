"""Flows that reach the bound of their output: nets that are constants, set so that every layer pushes one way.

With nets of zero weights a bias is what the net says. Around zero biases the real inverse pass then is linear in them,
in the latent and in the mean of a low-light flow's latent, so autograd through it says which sign of each carries one
value farthest; saturated biases of these signs do. Nothing here asks the code that states bounds.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.flow.bijection import At, Bijection, Chain
from models.flow.caps import Caps
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import BoundedConv1x1, FixedOrthogonalConv1x1, InvertibleConv1x1
from models.flow.layers.permutation import shuffle
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.transforms import CertifiedSpline
from models.restoration.low_light import LowLightCondition, LowLightFlow
from models.restoration.super_resolution import SuperResolutionCondition, SuperResolutionFlow
from models.restoration.tails import Tails

ENCODER = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
SATURATED = 1e3  # of a raw parameter: its tanh is 1
# A box too small to matter: the displacement is all shift, which saturated parameters reach.
SHIFT = CertifiedSpline(bound=1e-9, lipschitz=4.0, shift=0.3)
CAPS = Caps(prior_mean=0.5, prior_log_scale=0.7, overshoot=0.1)
LATENT = 3.0  # of every entry


@dataclasses.dataclass
class Case:
    """A flow whose nets are constants, and the shape of its latent for one block.

    ``condition``: makes the flow's condition of the mean of its latent, where it has one. ``base``: the least and the
    most that is added to the output whatever the latent is. ``others``: what raw parameters that are no shift are tried
    at, a number for all of them or one for each of a channel's.
    """

    layer: Bijection
    shape: tuple[int, int, int]
    condition: Callable[[Tensor], object] = lambda mean: None
    base: tuple[float, float] = (0.0, 0.0)
    others: Sequence[float | tuple[float, ...]] = (0.0,)


def randomized(layer: Bijection) -> Bijection:
    """Give what is affine random values, and let every net say nothing."""
    with torch.no_grad():
        for module in layer.modules():
            if isinstance(module, InvertibleConv1x1):
                module.weight.copy_(module.weight + 0.3 * torch.randn_like(module.weight) / len(module.weight))
            elif isinstance(module, BoundedConv1x1):
                module.weight.normal_()
                module.log_scale.normal_()
            elif isinstance(module, ActNorm):
                module.log_scale.normal_(0.0, 0.3)
                module.bias.normal_(0.0, 0.3)
    for bias in biases(layer):
        nn.init.zeros_(bias)
    return layer.double().requires_grad_(False)


def biases(layer: Bijection) -> list[Tensor]:
    """Return the biases of the last convolution of every net, a net's parameters side by side for each channel."""
    return [(m.prior if isinstance(m, Split) else m.net.out).conv.bias for m in with_nets(layer)]


def with_nets(layer: Bijection) -> list[Coupling | Injector | Split]:
    """Return the layers that ask a net."""
    return [module for module in layer.modules() if isinstance(module, Coupling | Injector | Split)]


def farthest(case: Case, value: int) -> float:
    """Return how far the value of this number goes, of the real inverse pass, at the worst latent and biases."""
    best = 0.0
    for (way, base), others in itertools.product(zip((-1.0, 1.0), case.base, strict=True), case.others):
        z = torch.randn(1, *case.shape, dtype=torch.float64, requires_grad=True)  # outside of the boxes
        mean = torch.full_like(z, 0.5, requires_grad=True)
        moved = biases(case.layer)
        for bias, module in zip(moved, with_nets(case.layer), strict=True):
            bias.requires_grad_(False)
            count, shift = _parameters(module)
            # of a prior, the largest deviation
            bias.view(-1, count)[:] = torch.tensor(SATURATED if isinstance(module, Split) else others)
            bias.view(-1, count)[:, shift] = 0.0
            bias.requires_grad_(True)
        asked = [z, mean, *moved]
        gradients = torch.autograd.grad(_output(case, z, mean, base)[value], asked, allow_unused=True)
        signs = [None if gradient is None else way * gradient.sign() for gradient in gradients]
        with torch.no_grad():
            z.copy_(LATENT * signs[0])
            mean.copy_(0.5 if signs[1] is None else 0.5 + 0.5 * signs[1])
            for bias, sign, module in zip(moved, signs[2:], with_nets(case.layer), strict=True):
                count, shift = _parameters(module)
                bias.view(-1, count)[:, shift] = SATURATED * sign.view(-1, count)[:, shift]
            best = max(best, abs(float(_output(case, z, mean, base)[value])))
    return best


def _parameters(module: Coupling | Injector | Split) -> tuple[int, int]:
    """Return how many a net says of a channel, and which of them is the shift: of (mean, log deviation) the mean."""
    if isinstance(module, Split):
        return 2, 0
    transform = getattr(module.transform, "inner", module.transform)
    return transform.parameters_per_channel, transform.shift_place


def _output(case: Case, z: Tensor, mean: Tensor, base: float) -> Tensor:
    condition = case.condition(mean)
    if isinstance(condition, SuperResolutionCondition):
        condition = condition._replace(base=torch.full_like(condition.base, base))
    return case.layer.inverse(z, condition)[0].flatten()


def wide_actnorm(*factors: float, bias: float = 0.0) -> ActNorm:
    """Return one whose inverse multiplies by ``factors`` and subtracts ``bias``."""
    layer = ActNorm(len(factors))
    with torch.no_grad():
        layer.log_scale.copy_(-torch.tensor(factors).log().view(1, -1, 1, 1))
        layer.bias.fill_(bias)
    return layer.double().requires_grad_(False)


def coupling(channels: int = 5) -> Case:
    layer = randomized(Coupling(channels, SHIFT, 1, 2))
    return Case(layer, (channels, 1, 1), condition_of(layer))


def injector() -> Case:
    layer = randomized(Injector(3, SHIFT, 1, 2))
    return Case(layer, (3, 1, 1), condition_of(layer))


def split() -> Case:
    """Two channels come through, to be squeezed; three leave early."""
    rest = Chain([Squeeze(), wide_actnorm(*[0.3, 2.0] * 4, bias=0.2)])
    return Case(Split(5, rest, factor=2, caps=CAPS).double().requires_grad_(False), (8 + 12, 1, 1))


def chain() -> Case:
    """Layers that do not commute: the factor of the one applies to the bias of the other, and to its displacement."""
    inner = randomized(Coupling(2, SHIFT, 1, 2))
    layer = Chain([wide_actnorm(3.0, 0.5, bias=0.1), inner, wide_actnorm(0.2, 4.0, bias=-0.7)])
    return Case(layer, (2, 1, 1), condition_of(layer))


def condition_of(layer: Bijection) -> Callable[[Tensor], object]:
    """Return what makes the condition of a layer that sees one channel of features: zeros."""
    return lambda mean: layer.share({"encoder": torch.zeros(1, 1, 1, 1, dtype=torch.float64)})


def super_resolution(**options: object) -> Case:
    """Three levels, so that half of the channels leave after the first; black or white pictures, enlarged, are flat."""
    caps = options.pop("caps", CAPS)
    network = SuperResolutionFlow(SHIFT, 4, 3, 1, 4, [0, 1, 1], "learned", ENCODER, caps=caps, **options)
    randomized(network.flow)
    network.double().requires_grad_(False)
    seen = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    most = min(1.0 + network.overshoot, 1.1875**2 + 0.1875**2)
    return Case(
        network, (192, 1, 1), lambda mean: network.share(seen), (1 - most, most) if network.residual else (0, 0)
    )


def low_light() -> Case:
    network = LowLightFlow(SHIFT, 1, 4, "learned", ENCODER)
    randomized(network.flow)
    network.double().requires_grad_(False)
    seen = torch.zeros(1, 6, 8, 8, dtype=torch.float64)
    return Case(network, (192, 1, 1), lambda mean: LowLightCondition(mean, network.share(seen).shared))


def with_tails(case: Case) -> Case:
    case.layer.tails = Tails(0.1, 0.25)
    return case


LAYERS: dict[str, Callable[[], Case]] = {
    "actnorm, its factors": lambda: Case(wide_actnorm(0.5, 3.0, 1.0), (3, 1, 1)),
    "actnorm, its bias": lambda: Case(wide_actnorm(1.0, 1.0, bias=5.0), (2, 1, 1)),
    "learned 1x1": lambda: Case(randomized(InvertibleConv1x1(6)), (6, 1, 1)),
    "bounded 1x1": lambda: Case(randomized(BoundedConv1x1(6, limit=4.0)), (6, 1, 1)),
    "fixed 1x1": lambda: Case(FixedOrthogonalConv1x1(6), (6, 1, 1)),
    "permutation": lambda: Case(Chain([shuffle(4), wide_actnorm(1.0, 2.0, 3.0, 4.0)]), (4, 1, 1)),
    "squeeze": lambda: Case(Chain([Squeeze(), wide_actnorm(*range(1, 9))]), (8, 1, 1)),
    "at": lambda: Case(At("level", wide_actnorm(2.0, bias=-1.0)), (1, 1, 1)),
    "chain": chain,
    "coupling": coupling,
    "injector": injector,
    "split": split,
}
NETWORKS: dict[str, Callable[[], Case]] = {
    "super-resolution": super_resolution,
    "super-resolution, not clamped": lambda: super_resolution(caps=dataclasses.replace(CAPS, overshoot=float("inf"))),
    "super-resolution, bounded 1x1": lambda: super_resolution(caps=dataclasses.replace(CAPS, singular_value=1.5)),
    "super-resolution without a base": lambda: super_resolution(residual=False),
    "low light": low_light,
    "super-resolution with tails": lambda: with_tails(super_resolution()),
    "super-resolution without a base, with tails": lambda: with_tails(super_resolution(residual=False)),
    "low light with tails": lambda: with_tails(low_light()),
}
