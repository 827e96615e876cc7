"""Attacks on draws: they climb what they say, stay in their boxes, and no bound is passed."""

import math

import pytest
import torch
from report_tree import plain_photograph
from small_flow import small_flow

from models.restoration.tails import Tails
from pipeline.kinds import KINDS
from pipeline.pictures.eight_bit import to_tensor
from pipeline.seeds import generator
from pipeline.stability.analyses.draw_attack import DrawAttack
from pipeline.stability.measure.ascent import Box
from pipeline.stability.measure.bounds import restoration_bound
from pipeline.stability.measure.draw_attack import GOALS, attack_draws, bad_share, distance, largest_magnitude
from pipeline.stability.subject import Subject

SPLINE = {"name": "certified_spline", "options": {"bound": 0.5, "lipschitz": 4.0, "shift": 0.3}}
CAPS = {"overshoot": 0.0}
STEPS = 8


def attacked(flow, goal, radius=1.0, limit=3.0, steps=STEPS):
    """Return what was attacked, and its input and latents at the end, of two inputs."""
    network = flow.network
    seen = torch.rand(2, 3, 4, 4, generator=generator("seen"))
    z = torch.randn(GOALS[goal].draws, 2, *network.latent_shape(4, 4), generator=generator("z")).clamp(-3.0, 3.0)
    inputs = Box(*flow.kind.around(seen, radius))
    latents = Box(torch.tensor(-limit), torch.tensor(limit)) if limit else Box(z, z)
    sources = [generator("attack", i) for i in range(2)]
    found = attack_draws(network, GOALS[goal], seen, z, inputs, latents, steps, sources)
    point, latent = found.point.split([seen[0].numel(), z[:, 0].numel()], 1)
    return found, seen, z, point.view_as(seen), latent.view(2, len(z), *z.shape[2:]).transpose(0, 1)


@pytest.mark.parametrize("goal", GOALS)
def test_what_is_found_is_what_the_flow_does_there(goal):
    flow = small_flow()
    found, _, _, point, latent = attacked(flow, goal)
    with torch.no_grad():
        draws = [flow.network.inverse(each, flow.network.share(point))[0] for each in latent]
    expected = {
        "largest": lambda x: x.abs().amax((1, 2, 3)),
        "bad_share": lambda x: ((x < -0.5) | (x > 1.5)).double().mean((1, 2, 3)),
        "distance": lambda x, y: (x - y).double().square().mean((1, 2, 3)).sqrt(),
    }[goal](*draws)
    torch.testing.assert_close(found.after.double(), expected.double(), rtol=1e-5, atol=0.0)
    assert (found.after > found.before).all() and not found.searched.any()


@pytest.mark.parametrize(("radius", "limit"), [(8 / 255, 0.0), (8 / 255, 3.0), (1.0, 6.0)])
def test_input_and_latents_stay_where_they_may_be(radius, limit):
    _, seen, z, point, latent = attacked(small_flow(), "distance", radius, limit)
    assert 0.9 * radius < (point - seen).abs().max() <= radius + 1e-6 and 0 <= point.min() <= point.max() <= 1
    assert torch.equal(latent, z) if limit == 0 else 0.9 * limit < latent.abs().max() <= limit


def test_what_is_steered_is_the_number_itself_and_its_gradient_has_a_direction():
    x = torch.tensor([[[[0.2, -0.9, 3.0]]]], requires_grad=True)
    assert largest_magnitude(x).item() == pytest.approx(3.0) and bad_share(x).item() == pytest.approx(2 / 3)
    (largest,) = torch.autograd.grad(largest_magnitude(x).sum(), x)
    (bad,) = torch.autograd.grad(bad_share(x).sum(), x)
    assert largest.flatten()[2] > 0 > largest.flatten()[1]
    assert bad.sign().flatten().tolist() == [-1.0, -1.0, 1.0]  # away from mid-grey, bad values too


def test_values_that_are_not_finite_are_bad_and_leave_the_gradient_finite():
    x = torch.tensor([[[[math.nan, math.inf, 0.2, 0.5]]]], requires_grad=True)
    assert bad_share(x).item() == 0.5
    (gradient,) = torch.autograd.grad(bad_share(x).sum(), x)
    assert gradient.isfinite().all()
    assert largest_magnitude(torch.full((1, 1, 1, 1), 3e38)).isfinite().all()


def test_two_draws_alike_are_no_distance_apart():
    x = torch.rand(2, 3, 4, 4)
    assert distance(x, x).tolist() == [0.0, 0.0]
    torch.testing.assert_close(distance(x, x + 0.5), torch.full((2,), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("limit", [1.0, 6.0])
def test_no_attack_passes_a_bound(limit):
    """And it comes near: latents within their limit carry the output to a third of it and more."""
    flow = small_flow(transform=SPLINE, caps=CAPS)
    bound = restoration_bound(flow.network)
    largest = attacked(flow, "largest", limit=limit, steps=30)[0].after.max()
    apart = attacked(flow, "distance", limit=limit, steps=30)[0].after.max()
    assert 0.3 * bound.value(limit) < largest <= bound.value(limit)
    assert limit < apart <= bound.distance(limit)


def test_tails_do_not_hide_from_an_attack_what_is_before_them():
    """It finds what tails make of what it finds without them: here values above the range."""
    flow = small_flow()
    without = attacked(flow, "largest", limit=0.5, steps=30)[0].after
    flow.network.tails = Tails(0.1, 0.1)
    found = attacked(flow, "largest", limit=0.5, steps=30)[0].after
    assert without.min() > 1.5
    torch.testing.assert_close(found, 1.1 + 0.1 * (without - 1.1), rtol=1e-4, atol=0.0)


def subject(flow):
    sides = [to_tensor(side) for side in flow.kind.sides_of(plain_photograph(), "cat")]
    return Subject(flow, [("cat", *flow.kind.pair(sides, flow.network.scale))], [], 1, 0.9, 10)


def test_the_analysis_reports_the_worst_of_every_setting_beside_its_bound():
    flow = small_flow(transform=SPLINE, caps=CAPS)
    found = DrawAttack(steps=3, pictures=1, side=16).run(subject(flow))
    rows = {(row["goal"], row["setting"]): row for row in found.tables["draw_attack.csv"]}
    assert len(rows) == 18 and len(found.numbers) == 20 and not found.reasons
    for (goal, setting), row in rows.items():
        assert found.numbers[f"{goal}_{setting}"] == row["after"] >= row["before"]
    for goal, certain in (("largest", "value"), ("distance", "distance")):
        row = rows[goal, "free_6_sigma"]
        assert row["bound"] == pytest.approx(getattr(restoration_bound(flow.network), certain)(6.0))
        ratios = {row["log10_ratio"] for (its, _), row in rows.items() if its == goal}
        assert found.numbers[f"log10_bound_over_{goal}"] == min(ratios) > 0
        assert 10 ** row["log10_ratio"] == pytest.approx(row["bound"] / row["after"])
    assert rows["largest", "near_drawn"]["bound"] < rows["largest", "near_6_sigma"]["bound"]
    assert rows["bad_share", "free_drawn"]["bound"] is None


def test_without_a_bound_there_is_no_ratio_and_without_a_finite_value_no_number():
    found = DrawAttack(steps=2, pictures=1, side=16).run(subject(small_flow()))
    assert found.reasons == dict.fromkeys(("log10_bound_over_largest", "log10_bound_over_distance"), "no bound")
    flow = small_flow(transform=SPLINE, caps=CAPS)
    with torch.no_grad():
        flow.network.encoder.first.bias.fill_(math.nan)
    found = DrawAttack(steps=2, pictures=1, side=16).run(subject(flow))
    assert found.numbers["largest_free_drawn"] is None
    assert found.reasons["largest_free_drawn"] == "not finite (1 of 1 pictures)"
    assert found.reasons["log10_bound_over_largest"] == "what was found is not finite"


@pytest.mark.parametrize("options", [{"steps": 0}, {"radius": 0.0}, {"radius": 2.0}, {"side": 0}, {"pictures": 0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DrawAttack(**options)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_around_an_input_is_that_of_pictures_around_its_own(kind):
    kind = KINDS[kind]
    sides = [to_tensor(side) for side in kind.sides_of(plain_photograph(), "cat")]
    seen = kind.pair(sides, 1 if 1 in kind.scales else 4)[1]
    lower, upper = kind.around(seen, 0.02)
    assert (lower <= seen + 1e-6).all() and (seen <= upper + 1e-6).all()
    shown = kind.shown(seen)
    torch.testing.assert_close(kind.shown(lower), (shown - 0.02).clamp(0.0, 1.0), rtol=0, atol=1e-5)
    torch.testing.assert_close(kind.shown(upper), (shown + 0.02).clamp(0.0, 1.0), rtol=0, atol=1e-5)
    for side, value in zip(kind.around(seen, 1.0), (0.0, 1.0), strict=True):
        torch.testing.assert_close(kind.shown(side), torch.full_like(shown, value), rtol=0, atol=1e-5)
    for way, side in ((-1, lower), (1, upper)):  # what else it sees is of pictures too
        rest = (seen[:, 3:] + way * 0.02).clamp(0.0, 1.0)
        torch.testing.assert_close(side[:, 3:], rest, rtol=0, atol=1e-6)
