"""The bound of the output is reached by every layer and by whole networks, so no term can be loosened or left out.

An input that reaches the bound shows both that it holds where it is hardest and that nothing is given away.
"""

import dataclasses
import math

import pytest
import torch
from bound_cases import LATENT, LAYERS, NETWORKS, SHIFT, Case, farthest, low_light, super_resolution, wide_actnorm
from shielded_bound_cases import SHIELDED
from torch.nn import functional as F

from models.flow.bijection import Bijection, Chain
from models.flow.caps import Caps
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import InvertibleConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.ranges import Range
from models.flow.transforms import TRANSFORMS, Affine, CertifiedSpline, Shield
from models.restoration.tails import Tails
from pipeline.stability.measure import bounds
from pipeline.stability.measure.bounds import _BICUBIC_PEAK, coupling_bounds, output_bound, restoration_bound

CASES = LAYERS | SHIELDED | NETWORKS
ONE = torch.ones(1, dtype=torch.float64)
REACHED, PASSED = 0.999, 1.0 + 1e-9


@pytest.fixture(params=list(CASES))
def case(request):
    return CASES[request.param]()


def share(case):
    """Return how much of the bound is reached, at the value that it is of."""
    bound = output_bound(case.layer, case.shape)
    return farthest(case, bound.worst(LATENT)) / max(bound.value(LATENT), 1e-9)


def test_the_bound_is_reached_and_not_passed(case):
    assert REACHED <= share(case) <= PASSED


def test_it_is_computed_where_the_network_is(case):
    here = output_bound(case.layer, case.shape).value(LATENT)
    with torch.device("meta"):  # where a tensor goes that does not say where
        assert output_bound(case.layer, case.shape).value(LATENT) == here


@torch.no_grad()
def test_no_latent_of_this_size_passes_it(case):
    value = output_bound(case.layer, case.shape).value(LATENT)
    for _ in range(20):
        z = LATENT * (2.0 * torch.rand(4, *case.shape, dtype=torch.float64) - 1.0).sign()
        mean = torch.rand(4, *case.shape, dtype=torch.float64).round()
        assert case.layer.inverse(z, case.condition(mean))[0].abs().max() <= value * PASSED


def test_no_weights_of_nets_carry_the_output_past_the_bound_with_boxes_too():
    transform = CertifiedSpline(lipschitz=4.0, shift=0.1)
    for make in (super_resolution, low_light):
        case = make()
        for module in case.layer.modules():
            if isinstance(module, Coupling | Injector):
                module.transform = transform
                module.net.out.conv.weight.normal_(0.0, 10.0)
            elif isinstance(module, Split):
                module.prior.conv.weight.normal_(0.0, 10.0)
        bound = restoration_bound(case.layer)
        z = LATENT * torch.randn(64, *case.shape, dtype=torch.float64).clamp(-1.0, 1.0)
        mean = torch.rand(64, *case.shape, dtype=torch.float64)
        with torch.no_grad():
            x = case.layer.inverse(z, case.condition(mean))[0]
        assert 0.05 * bound.value(LATENT) < x.abs().max() <= bound.value(LATENT)


def mutated_unknown(role=None, radius=1.0, deviation=1.0, centre=1.0):
    """Return ``_Skeleton.unknown`` with factors on what it is told of one role."""
    original = bounds._Skeleton.unknown

    def mutant(self, at, layer, its_role, r=0.0, d=0.0, **named):
        r, d = named.get("radius", r), named.get("deviation", d)
        if role in (None, its_role):
            return original(self, at * centre, layer, its_role, r * radius, d * deviation)
        return original(self, at, layer, its_role, r, d)

    return bounds._Skeleton, "unknown", mutant


def mutated_sums(change):
    """Return ``_Skeleton.coefficients`` with ``change`` made of what it sums up."""

    def mutant(self, values):
        for gradient in torch.autograd.grad(values.sum(), [unknown.leaf for unknown in self.unknowns]):
            yield change(gradient).flatten(1).sum(1)
            yield gradient.square().flatten(1).sum(1)

    return bounds._Skeleton, "coefficients", mutant


def of_ends(change, chosen=lambda ends: ends):
    """Return ``OutputBound._ends`` of a changed bound."""
    original = bounds.OutputBound._ends
    return bounds.OutputBound, "_ends", lambda self, reach: chosen(original(change(self), reach))


def interval(change, owner=Shield, name="displacements"):
    """Return what states an interval per channel, its middle and half its width changed."""
    original = getattr(owner, name)

    def mutant(*asked):
        least, largest = original(*asked)
        middle, radius = change(0.5 * (least + largest), 0.5 * (largest - least))
        return middle - radius, middle + radius

    return owner, name, mutant


def mirrored(middle, radius):
    return -middle, radius


def of_prior(chosen):
    """Return ``Split.prior_bounds`` of what is ``chosen`` of the limits of a prior's range, ``(C, 2)`` each."""
    original = Split.prior_bounds

    def mutant(self):
        if self.prior_range is None:
            return original(self)
        limits = torch.stack(self.prior_range.limits(), -1).unflatten(0, (-1, 2))
        mean, log_deviation = chosen(*limits.unbind(1))
        return float(mean.abs().max()), float(log_deviation[:, 1].exp().max())

    return Split, "prior_bounds", mutant


def rule(layer, change):
    """Return the rule of a layer, changed."""
    original = bounds.inverse_skeleton.dispatch(layer)
    return layer, lambda layer, z, skeleton: change(original, layer, z, skeleton)


def without_squeeze(original, layer, z, skeleton):
    return F.pixel_shuffle(z.flip(1), 2)


def all_channels(original, layer, z, skeleton):
    moved = skeleton.unknown(torch.zeros_like(z), "", layer.place.role if layer.place else "coupling", 0.3)
    return z + moved


def other_half(original, layer, z, skeleton):
    moved = skeleton.unknown(torch.zeros_like(z[:, : layer.passed]), "", "coupling", 0.3)
    return torch.cat([z[:, : layer.passed] + moved, z[:, layer.passed :]], 1)


def in_order(original, layer, z, skeleton):
    for inner in layer._layers():
        z = bounds.inverse_skeleton(inner, z, skeleton)
    return z


def the_half_that_came_through_alone(original, layer, z, skeleton):
    x1 = bounds.inverse_skeleton(layer.rest, z[:, : -layer.consumed * layer.factor**2], skeleton)
    return torch.cat([x1, x1.new_zeros(x1.shape[0], layer.consumed, *x1.shape[2:])], 1)


ROLES = ("latent", "mean", "base", "coupling", "noise coupling", "injector", "split")
MUTANTS = {
    **{f"{role}, radius * {factor}": mutated_unknown(role, radius=factor) for role in ROLES[1:] for factor in (0, 1.5)},
    **{
        f"{role}, deviation * {f}": mutated_unknown(role, deviation=f) for role in ("latent", "split") for f in (0, 1.5)
    },
    "the centre of the mean and of the base": mutated_unknown(centre=0.0),
    "sums without signs": mutated_sums(lambda gradient: gradient.sum(0, keepdim=True).abs().expand_as(gradient) * 0.1),
    "the largest coefficient alone": mutated_sums(
        lambda gradient: gradient * (gradient.abs() == gradient.abs().flatten(1).amax(1).view(-1, 1, 1, 1))
    ),
    "signs are not left out": mutated_sums(lambda gradient: gradient),
    "the constants": of_ends(lambda bound: dataclasses.replace(bound, centre=torch.zeros_like(bound.centre))),
    "no tails": of_ends(lambda bound: dataclasses.replace(bound, tails=None)),
    "the upper end alone": of_ends(lambda bound: bound, lambda ends: ends[:1]),
    "half of the latent": (bounds.Part, "reach", lambda self, k: self.total * (self.radius + 0.5 * k * self.deviation)),
    "the peak of the enlargement": (bounds, "_BICUBIC_PEAK", 1.1875**2),
    "shield, middles mirrored": interval(mirrored),
    "shield, no middles": interval(lambda middle, radius: (0.0 * middle, radius)),
    "shield, half of the radii": interval(lambda middle, radius: (middle, 0.5 * radius)),
    "shield, the widest channel's radius": interval(lambda middle, radius: (middle, radius.max().expand_as(radius))),
    "shield, channels in the wrong order": interval(lambda middle, radius: (middle.flip(0), radius.flip(0))),
    **{
        f"shield around {name}, mirrored": interval(mirrored, kind, "displacement_within")
        for name, kind in TRANSFORMS.items()
    },
    "ranges without their margins": (Range, "limits", lambda self: (self.low, self.high)),
    "prior's range, its lower end alone": of_prior(lambda mean, log: (mean[:, :1], log)),
    "prior's range, its upper end alone": of_prior(lambda mean, log: (mean[:, 1:], log)),
    "prior's range, its first channel alone": of_prior(lambda mean, log: (mean[:1], log[:1])),
    "a squeeze that reads the channels backwards": rule(Squeeze, without_squeeze),
    "a coupling that moves every channel": rule(Coupling, all_channels),
    "a coupling that moves the other half": rule(Coupling, other_half),
    "a chain in the wrong order": rule(Chain, in_order),
    "what left early": rule(Split, the_half_that_came_through_alone),
    "a coupling that moves nothing": rule(Coupling, lambda original, layer, z, skeleton: z),
    "an injector that moves nothing": rule(Injector, lambda original, layer, z, skeleton: z),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught_by_a_case(mutant, monkeypatch):
    place, *rest = MUTANTS[mutant]
    if len(rest) == 1:
        original = bounds.inverse_skeleton.dispatch(place)
        bounds.inverse_skeleton.register(place, rest[0])
    else:
        monkeypatch.setattr(place, *rest)
    try:
        assert any(not REACHED <= share(make()) <= PASSED for make in CASES.values())
    finally:
        if len(rest) == 1:
            bounds.inverse_skeleton.register(place, original)


def test_blocks_of_more_values_than_rows_at_a_time_are_the_same(monkeypatch):
    case = low_light()
    whole = output_bound(case.layer, case.shape)
    monkeypatch.setattr(bounds, "_ROWS", 7)
    parts = output_bound(case.layer, case.shape)
    assert whole.value(LATENT) == pytest.approx(parts.value(LATENT)) and whole.draw(6) == pytest.approx(parts.draw(6))
    torch.testing.assert_close(whole.centre, parts.centre)


def test_draws_have_the_deviation_that_the_bound_for_them_counts_on():
    """Where nothing but latents moves a value, ``draw`` is that many standard deviations of it."""
    case = super_resolution(residual=False)
    for module in case.layer.modules():
        if isinstance(module, Coupling | Injector):
            module.transform = CertifiedSpline(bound=1e-9, lipschitz=4.0, shift=1e-9)
        elif isinstance(module, Split):
            module.caps = Caps(prior_mean=1e-9, prior_log_scale=0.7)
            module.prior.conv.bias.view(-1, 2)[:, 1] = 1e3
    bound = output_bound(case.layer, case.shape)
    z = torch.randn(20_000, *case.shape, dtype=torch.float64)
    with torch.no_grad():
        x = case.layer.inverse(z, case.condition(z))[0].flatten(1)
    expected = bound.centre.abs() + 5.0 * x.std(0)
    assert bound.draw(5.0) == pytest.approx(float(expected.max()), rel=0.03)
    assert float((x.abs() > bound.draw(1.0)).double().mean()) < 4 * 0.1587


def test_two_draws_are_apart_as_far_as_the_bound_says():
    layer = wide_actnorm(0.5, 2.0, bias=7.0)  # every value is at its worst at once; constants fall out
    bound = output_bound(layer, (2, 1, 1))
    z = torch.full((1, 2, 1, 1), LATENT, dtype=torch.float64)
    apart = layer.inverse(z)[0] - layer.inverse(-z)[0]
    assert float(apart.square().mean().sqrt()) == pytest.approx(bound.distance(LATENT), rel=1e-9)


def test_what_the_condition_decides_keeps_no_two_draws_apart():
    assert output_bound(super_resolution().layer, (192, 1, 1)).distance(0.0) > 0  # couplings do
    for case, role in ((super_resolution(), "base"), (low_light(), "mean")):
        bound = output_bound(case.layer, case.shape)
        alone = bounds.OutputBound(bound.centre, tuple(part for part in bound.parts if part.role != role))
        assert bound.distance(LATENT) == alone.distance(LATENT) and bound.value(LATENT) > alone.value(LATENT)


def test_tails_bring_two_draws_together_no_more_than_the_bound_says():
    """A value free of everything but its latent, far below the range in one draw and far above in the other."""
    tails = Tails(0.1, 0.25)
    for reach in (0.2, 0.9, 6.0):
        bound = bounds.OutputBound(ONE / 2, (bounds.Part("", "latent", 0.0, 1.0, ONE, ONE),), tails)
        ends = [tails.inverse((ONE / 2 + way * reach)[None])[0] for way in (-1.0, 1.0)]
        assert bound.distance(reach) == pytest.approx(float(ends[1] - ends[0]))
        assert bound.value(reach) == pytest.approx(float(ends[1]))
        assert bound.before_tails(reach) == pytest.approx(0.5 + reach)


@pytest.mark.parametrize(
    ("centre", "value", "before"), [(-1.0, 0.1 + 1.0 + 0.25 * 1.9, 3.0), (-4.0, 0.1 + 0.25 * 7.9, 8.0)]
)
def test_what_is_said_of_before_tails_is_of_the_end_that_counts(centre, value, before):
    """Tails are about [0, 1], so of [-5, 3] it is 3 that stays the larger one."""
    bound = bounds.OutputBound(centre * ONE, (bounds.Part("", "latent", 0.0, 1.0, ONE, ONE),), Tails(0.1, 0.25))
    assert bound.value(4.0) == bound.draw(4.0) == pytest.approx(value)
    assert bound.before_tails(4.0) == pytest.approx(before)


@pytest.mark.parametrize(
    ("centre", "radius", "tails", "latent"),
    [
        (0.5, 0.2, None, 0.4),  # 0.5 +- (0.2 + 2 k) reaches either end of [-0.5, 1.5]
        (0.7, 0.2, None, 0.3),  # the upper one first
        (0.1, 0.2, None, 0.2),  # the lower one first
        (0.5, 0.2, Tails(0.1, 0.25), 1.0),  # before these the ends are -1.7 and 2.7
        (0.5, 1.0, None, 0.0),
        (0.5, 1.1, None, None),
        (0.5, 1.1, Tails(0.1, 0.25), 0.55),
    ],
)
def test_no_value_is_bad_up_to_the_latent_that_is_said(centre, radius, tails, latent):
    """The first of two values is the one that decides; half of its radius, and most of its latent, is of a split."""
    first, second = torch.eye(2, dtype=torch.float64)
    parts = (
        bounds.Part("", "coupling", 0.5 * radius, 0.0, first, first),
        bounds.Part("", "split", 0.5 * radius, 1.5, first, 0.64 * first),
        bounds.Part("", "latent", 0.0, 0.5, first + 0.1 * second, 0.01 * first + 0.01 * second),
    )
    bound = bounds.OutputBound(centre * first + 0.5 * second, parts, tails)
    assert bound.good_latent() == (None if latent is None else pytest.approx(latent))
    per_draw = math.sqrt(0.64 * 1.5**2 + 0.01 * 0.5**2)  # where 2 of latents that are chosen
    assert bound.good_draw() == (None if latent is None else pytest.approx(latent * 2.0 / per_draw))
    if latent:
        up, down = bound._ends(bound._reach(latent)).amax(1)
        assert max(up - 1.5, down - 0.5) == pytest.approx(0.0)


def test_enlargement_peaks_half_way_between_pixels():
    """The peak of bicubic enlargement in general; a 4x one comes within 5 % of it, 3/8 of a pixel from a centre."""
    picture = torch.zeros(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    enlarged = F.interpolate(picture, scale_factor=4, mode="bicubic", align_corners=False)[0, 0, 12, 12]
    (weights,) = torch.autograd.grad(enlarged, picture)
    assert 0.95 * _BICUBIC_PEAK < float(weights.clamp(min=0.0).sum()) <= _BICUBIC_PEAK


def test_a_layer_that_no_rule_knows_has_no_bound():
    class New(Bijection):
        forward = inverse = lambda self, x, condition=None: (x, x.new_zeros(len(x)))

    assert output_bound(New(), (1, 1, 1)) is None
    assert output_bound(Chain([Squeeze(), New()]), (4, 1, 1)) is None


def test_a_convolution_that_has_lost_a_channel_has_no_bound():
    layer = InvertibleConv1x1(2)
    with torch.no_grad():
        layer.weight.zero_()[0, 0] = 1.0
    assert output_bound(layer, (2, 1, 1)) is None


@pytest.mark.parametrize("caps", [Caps(prior_mean=1.0), Caps(prior_log_scale=1.0), Caps()])
def test_a_split_whose_prior_is_not_capped_has_no_bound(caps):
    assert output_bound(Split(4, Squeeze(), factor=2, caps=caps), (16, 1, 1)) is None


def test_a_transform_that_says_no_displacement_has_no_bound():
    assert output_bound(Coupling(4, Affine(), 0, 2), (4, 1, 1)) is None
    assert output_bound(Coupling(4, SHIFT, 0, 2), (4, 1, 1)) is not None


def test_a_network_is_bounded_by_what_its_transforms_say_of_themselves():
    """Whatever class a transform is of: the contract's ``displacement_bound`` is all that is asked."""

    class Shielded:
        def displacement_bound(self):
            return 2.5

    layer = Coupling(4, SHIFT, 0, 2)
    layer.transform = Shielded()
    assert output_bound(layer, (4, 1, 1)).value(1.0) == pytest.approx(3.5)


def test_slopes_and_displacement_are_those_of_the_worst_coupling():
    network = low_light().layer
    first, *_, last = (module for module in network.modules() if isinstance(module, Coupling | Injector))
    first.transform = CertifiedSpline(bound=0.1, lipschitz=8.0, shift=0.1)
    last.transform = CertifiedSpline(bound=0.1, lipschitz=2.0, shift=5.0)
    assert coupling_bounds(network) == (1 / 8, 8.0, last.transform.displacement_bound())


def test_a_small_latent_is_bounded_by_less():
    bound = output_bound(super_resolution().layer, (192, 1, 1))
    assert bound.value(1.0) < bound.value(3.0) < bound.value(6.0) < math.inf
    assert bound.draw(6.0) < bound.value(6.0)


def test_a_case_that_is_no_case_would_be_seen():
    """The helper finds what a layer of known size does: 3 standard deviations by 2."""
    assert farthest(Case(wide_actnorm(2.0), (1, 1, 1)), 0) == pytest.approx(6.0)
