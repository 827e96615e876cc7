"""The rules by which a bound of the output adds up, layer by layer: each is attained, so none can be loosened or cut.

An input that reaches a rule's bound shows both that the bound holds where it is hardest and that nothing is given
away. Where a rule cannot be reached by construction, its case says why and how near it comes.
"""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from models.flow.bijection import At, Bijection, Chain
from models.flow.caps import Caps
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import BoundedConv1x1, FixedOrthogonalConv1x1, InvertibleConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.transforms import CertifiedSpline
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow
from pipeline.stability.measure.bounds import amplification_bound, inverse_norm

ENCODER = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
SATURATED = 1e3  # of a raw parameter: its tanh is 1
# A box too small to matter: the displacement is all shift, which saturated parameters reach.
SHIFT = CertifiedSpline(bound=1e-6, lipschitz=4.0, shift=1.5)
STILL = CertifiedSpline(bound=1e-9, lipschitz=4.0, shift=1e-9)


@dataclasses.dataclass
class Case:
    """A layer and the latent that it carries farthest; ``share``: how much of the bound is reached at least."""

    layer: Bijection
    latent: torch.Tensor
    condition: object = None
    share: float = 0.999


def at_one_pixel(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def actnorm(log_scale, bias, cap=math.inf):
    layer = ActNorm(len(bias), cap).double()
    with torch.no_grad():
        layer.log_scale.copy_(at_one_pixel(*log_scale))
        layer.bias.copy_(at_one_pixel(*bias))
    return layer


def learned(*singular_values):
    left, _, right = torch.linalg.svd(torch.randn(len(singular_values), len(singular_values), dtype=torch.float64))
    layer = InvertibleConv1x1(len(singular_values)).double()
    with torch.no_grad():
        layer.weight.copy_(left @ torch.diag(torch.tensor(singular_values, dtype=torch.float64)) @ right)
    return Case(layer, 3.0 * at_one_pixel(*left[:, -1].tolist()))


def bounded():
    layer = BoundedConv1x1(3, limit=4.0).double()
    with torch.no_grad():
        layer.weight.normal_()
        layer.log_scale.copy_(torch.tensor([0.5, -0.8, 0.1]))
        smallest = layer(at_one_pixel(0.0, 1.0, 0.0))[0]
    return Case(layer, 3.0 * smallest / smallest.norm())


def coupling():
    """2 channels pass, 3 are moved; an input on these alone, moved by as much in every one of them."""
    layer = Coupling(5, SHIFT, 1, 2).double()
    with torch.no_grad():
        layer.net.out.conv.bias.view(3, 4)[:, 3] = -SATURATED  # t: the inverse subtracts it
    return Case(layer, at_one_pixel(0.0, 0.0, 1.0, 1.0, 1.0), layer.share({"encoder": at_one_pixel(1.0)}))


def injector():
    raw = at_one_pixel(*[0.0, 0.0, 0.0, -SATURATED] * 3)
    return Case(Injector(3, SHIFT, 1, 2).double(), at_one_pixel(1.0, 1.0, 1.0), raw)


def split(rest, caps, latent, share):
    """Return a split of 2 + 3 channels whose prior is saturated; ``latent``: at one pixel, twice as coarse."""
    layer = Split(5, rest, factor=2, caps=caps).double()
    with torch.no_grad():
        layer.prior.conv.bias.fill_(SATURATED)
    return Case(layer, latent, share=share)


def split_that_amplifies_what_left_early():
    """All of the latent left early. The rule lets all of it come through as well, which no latent can do: 95 %."""
    rest = Chain([Squeeze(), actnorm([0.0] * 8, [-12.0, *[0.0] * 7])])  # its size comes from its bias
    latent = torch.zeros(1, 8 + 12, 1, 1, dtype=torch.float64)
    latent[:, 8::4] = 1.0 / math.sqrt(3)  # what left early, all of it of one fine pixel
    return split(rest, Caps(prior_mean=4.0, prior_log_scale=2.0), latent, 0.95)


def split_that_amplifies_what_came_through():
    """None of the latent left early: the rule's share for that, small here, is what is not reached."""
    rest = Chain([Squeeze(), actnorm([-3.0] * 8, [0.0] * 8)])
    latent = torch.zeros(1, 8 + 12, 1, 1, dtype=torch.float64)
    latent[:, :8:4] = 1.0
    return split(rest, Caps(prior_mean=0.1, prior_log_scale=0.1), latent, 0.99)


def only_from_pixel_to_channels(network):
    """Make all 1x1 convolutions the identity; with fresh couplings, which are, too, only squeezes are left."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, InvertibleConv1x1):
                module.weight.copy_(torch.eye(len(module.weight)))
    return network.double()


def super_resolution(share=0.999, residual=True, **caps):
    """The flow adds to the enlarged picture where that is largest: white where this value's weights are positive."""
    network = SuperResolutionFlow(
        STILL, 4, 2, 1, 4, [], "learned", ENCODER, caps=Caps(**caps) if caps else None, residual=residual
    )
    only_from_pixel_to_channels(network)
    picture = torch.zeros(1, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    pixel = slice(12, 13)  # 3/8 of a pixel from the nearest centre, the farthest there is at 4x
    enlarged = F.interpolate(picture, scale_factor=4, mode="bicubic", align_corners=False)[:, :, pixel, pixel]
    (weights,) = torch.autograd.grad(enlarged.sum(), picture)
    detail = torch.zeros(1, 3, 24, 24, dtype=torch.float64)
    detail[:, :, pixel, pixel] = 1.0
    latent = F.pixel_unshuffle(F.pixel_unshuffle(detail, 2), 2)
    return Case(network, latent, network.share((weights > 0).double()), share)


def low_light():
    """A latent along its mean, which is 1 everywhere, and a rotation that takes it all into one value of the output."""
    network = only_from_pixel_to_channels(LowLightFlow(STILL, 1, 4, "learned", ENCODER))
    *_, last = (module for module in network.modules() if isinstance(module, InvertibleConv1x1))
    axis = torch.full((192,), -1.0 / math.sqrt(192), dtype=torch.float64)
    axis[0] += 1.0
    with torch.no_grad():
        last.weight.copy_(torch.eye(192) - 2.0 * torch.outer(axis, axis) / axis.square().sum())
        network.encoder.to_color.weight.zero_()
        network.encoder.to_color.bias.fill_(SATURATED)
    latent = torch.full((1, 192, 1, 1), 2.0, dtype=torch.float64)
    return Case(network, latent, network.share(torch.zeros(1, 6, 8, 8, dtype=torch.float64)))


CASES: dict[str, Callable[[], Case]] = {
    "actnorm, its smallest factor": lambda: Case(
        actnorm([0.5, -0.7, 0.2], [0.0, -3.0, 0.0]), at_one_pixel(0.0, 2.0, 0.0)
    ),
    "actnorm, its bias": lambda: Case(actnorm([0.4] * 3, [-1.0, -2.0, -2.0]), at_one_pixel(1.0, 2.0, 2.0)),
    "actnorm, its cap": lambda: Case(actnorm([-50.0, 50.0], [-0.1, 0.0], cap=1.0), at_one_pixel(1.0, 0.0)),
    "learned 1x1": lambda: learned(2.0, 0.5, 0.1),
    "bounded 1x1": bounded,
    "fixed 1x1": lambda: Case(FixedOrthogonalConv1x1(3), at_one_pixel(1.0, 2.0, 3.0)),
    "squeeze": lambda: Case(Squeeze(), at_one_pixel(*[1.0, 0.0, 0.0, 0.0] * 3)),
    "coupling": coupling,
    "injector": injector,
    "at": lambda: Case(At("level", actnorm([-1.0], [-1.0])), at_one_pixel(1.0)),
    # the first layer's factor applies to the second's bias as well: 3 (2 * 1 + 1) = 9, the other way round 7
    "chain": lambda: Case(
        Chain([actnorm([-math.log(3.0)], [0.0]), actnorm([-math.log(2.0)], [-1.0])]), at_one_pixel(1.0)
    ),
    "split, what left early": split_that_amplifies_what_left_early,
    "split, what came through": split_that_amplifies_what_came_through,
    "super-resolution, clamped": lambda: super_resolution(overshoot=0.0),
    "super-resolution, clamped loosely": lambda: super_resolution(overshoot=0.2),
    # the bound is that of enlargement half way between pixels, where no value of a 4x enlargement lies
    "super-resolution, not clamped": lambda: super_resolution(share=0.95),
    "super-resolution without a base": lambda: super_resolution(residual=False),
    "low light": low_light,
}


@pytest.fixture(params=list(CASES))
def case(request):
    return CASES[request.param]()


@torch.no_grad()
def reached(layer, latent, condition):
    return float(layer.inverse(latent, condition)[0].norm(dim=1).max())


def norm_of(latent):
    return float(latent.norm(dim=1).max())


def test_the_bound_is_reached_and_not_passed(case):
    bound = inverse_norm(case.layer, norm_of(case.latent))
    assert case.share * bound <= reached(case.layer, case.latent, case.condition) <= bound * (1 + 1e-9)


def test_no_other_latent_of_this_size_passes_it(case):
    bound = inverse_norm(case.layer, norm_of(case.latent))
    for _ in range(50):
        other = torch.randn_like(case.latent) * torch.rand_like(case.latent).pow(3)
        other *= norm_of(case.latent) / norm_of(other)
        assert reached(case.layer, other, case.condition) <= bound * (1 + 1e-9)


def test_a_layer_that_no_rule_knows_has_no_bound():
    class New(Bijection):
        forward = inverse = lambda self, x, condition=None: (x, x.new_zeros(len(x)))

    assert inverse_norm(New(), 0.0) == math.inf
    assert inverse_norm(Chain([Squeeze(), New()]), 1.0) == math.inf


def test_a_convolution_that_has_lost_a_channel_has_no_bound():
    layer = InvertibleConv1x1(2)
    with torch.no_grad():
        layer.weight.zero_()[0, 0] = 1.0
    assert inverse_norm(layer, 1.0) == math.inf


@pytest.mark.parametrize("caps", [Caps(prior_mean=1.0), Caps(prior_log_scale=1.0), Caps()])
@pytest.mark.parametrize("norm", [0.0, 1.0])
def test_a_split_whose_prior_is_not_capped_has_no_bound(caps, norm):
    assert inverse_norm(Split(4, Squeeze(), factor=2, caps=caps), norm) == math.inf


def test_the_bound_of_the_values_is_reached_by_latents_at_their_limit():
    case = low_light()
    value = amplification_bound(case.layer, latent=2.0).value  # every entry of the case's latent
    with torch.no_grad():
        output = case.layer.inverse(case.latent, case.condition)[0]
    assert 0.999 * value <= output.abs().max() <= value * (1 + 1e-9)


def test_slopes_and_displacement_are_those_of_the_worst_coupling():
    network = only_from_pixel_to_channels(LowLightFlow(SHIFT, 1, 4, "learned", ENCODER))
    first, *_, last = (module for module in network.modules() if isinstance(module, Coupling | Injector))
    first.transform = CertifiedSpline(bound=0.1, lipschitz=8.0, shift=0.1)
    last.transform = CertifiedSpline(bound=0.1, lipschitz=2.0, shift=5.0)
    bound = amplification_bound(network, latent=1.0)
    assert bound[:3] == (1 / 8, 8.0, last.transform.displacement_bound())
