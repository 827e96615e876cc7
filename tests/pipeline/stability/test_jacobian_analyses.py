"""The analyses that take Jacobians: what they find is what whole Jacobians say, at the points that they name."""

import functools
import math

import pytest
import torch
from bijection_cases import with_random_parameters
from report_tree import plain_photograph
from small_flow import small_flow
from torch.autograd.functional import jacobian

from models.restoration.low_light import LowLightFlow
from pipeline.kinds import KINDS
from pipeline.model_folder import LoadedFlow, ModelConfig, build
from pipeline.pictures.eight_bit import to_tensor
from pipeline.stability.analyses.lipschitz import Lipschitz
from pipeline.stability.analyses.spectrum import Spectrum
from pipeline.stability.measure.jacobian import float64_copy
from pipeline.stability.measure.points import Points
from pipeline.stability.stress import StressInput
from pipeline.stability.subject import Subject

SPLINE = {"name": "certified_spline", "options": {"bound": 0.5, "lipschitz": 4.0, "shift": 0.3}}


def subject(flow=None, stress=(0.1, 0.9)):
    """Return a subject with one photograph and constant stress inputs of these values."""
    flow = flow or small_flow()
    sides = [to_tensor(side) for side in flow.kind.sides_of(plain_photograph(), "cat")]
    target, seen = flow.kind.pair(sides, flow.network.scale)
    shape = (1, seen.shape[1], *[16 // flow.network.scale] * 2)
    inputs = [StressInput(f"flat_{i}", "flat", torch.full(shape, value)) for i, value in enumerate(stress)]
    return Subject(flow, [("cat", target, seen)], inputs, 1, 0.9, 10)


def low_light():
    encoder = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
    network = {"encoder": encoder, "levels": 3, "steps": 1, "hidden": 4, "noise_steps": [], "permutation": "learned"}
    config = ModelConfig(
        "low_light", "lol", "affine", "demo", 1, network, {"name": "affine", "options": {"eps": 1e-4}}, run_key="key"
    )
    torch.manual_seed(0)
    built = build(config)
    assert isinstance(built, LowLightFlow)
    with_random_parameters(built.flow, 0.02)
    return LoadedFlow(built.eval(), config, KINDS["low_light"])


@functools.cache
def whole(make, at):
    """Return the singular values of the encoding on 16 pixels of an input, descending, from autograd's Jacobian."""
    flow = make()
    points = Points(subject(flow))
    (point,) = points.photographs(1, 16) if at == "photograph" else points.worst_stress(1, 16)
    network = float64_copy(flow.network)
    matrix = jacobian(lambda x: network(x, point.condition)[0].flatten(), point.x)
    return torch.linalg.svdvals(matrix.view(point.x.numel(), -1))


@pytest.mark.parametrize("make", [small_flow, low_light])
def test_the_spectrum_is_that_of_whole_jacobians(make):
    found = Spectrum(stress=1, size=16, exact_size=16).run(subject(make()))
    for where, at in (("in_distribution", "photograph"), ("stress", "stress")):
        values = whole(make, at)
        assert found.numbers[f"largest_{where}"] == pytest.approx(float(values[0]), rel=0.01)
        assert found.numbers[f"least_{where}"] == pytest.approx(float(values[-1]), rel=0.01)
        assert found.numbers[f"condition_number_{where}"] == pytest.approx(float(values[0] / values[-1]), rel=0.02)
    rows = [row for row in found.tables["singular_values.csv"] if row["input"] == "cat"]
    expected = (1.0 / whole(make, "photograph").flip(0)).tolist()
    assert [row["value"] for row in rows] == pytest.approx(expected, rel=1e-6)
    assert [row["index"] for row in rows] == list(range(1, 3 * 16 * 16 + 1))


def test_the_worst_of_several_inputs_is_reported():
    found = Spectrum(stress=2, size=16, exact_size=0).run(subject())
    rows = [row for row in found.tables["spectrum.csv"] if row["kind"] == "flat"]
    assert len(rows) == 6 and found.tables["singular_values.csv"] == []
    for quantity, worst in (("largest", max), ("least", min), ("condition_number", max)):
        own = [row["value"] for row in rows if row["quantity"] == quantity]
        assert found.numbers[f"{quantity}_stress"] == worst(own)
        assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_an_input_that_breaks_the_flow_leaves_no_number():
    found = Spectrum(stress=2, size=16, exact_size=16).run(subject(stress=(0.5, math.nan)))
    assert found.numbers["largest_stress"] is None
    assert found.reasons["condition_number_stress"] == "not finite (1 of 2 inputs)"
    assert found.numbers["largest_in_distribution"] is not None
    broken = [row for row in found.tables["singular_values.csv"] if row["input"] == "flat_1"]
    assert len(broken) == 768 and all(row["value"] is None for row in broken)


def test_without_stress_inputs_their_numbers_say_so():
    assert Spectrum(stress=0, size=16, exact_size=0).run(subject()).reasons["largest_stress"] == "not asked for"
    assert Spectrum(size=16, exact_size=0).run(subject(stress=())).reasons["least_stress"] == "no such input"


def test_the_cut_of_a_picture_and_of_its_input_are_the_same_place():
    """At 4x, LR being each block's corner: the cut LR is what the cut picture shows."""
    own = subject()
    target = torch.rand(1, 3, 48, 64)
    own.pictures[0] = ("ramp", target, target[:, :, ::4, ::4].clone())
    points = Points(own)
    seen, (rows, columns) = points._centre(own.pictures[0][2], 20)
    assert torch.equal(target[:, :, rows, columns][:, :, ::4, ::4], seen)
    assert seen.shape == (1, 3, 5, 5) and (rows, columns) == (slice(12, 32), slice(20, 40))
    assert points._centre(own.pictures[0][2], 0)[0].shape == (1, 3, 12, 16)
    assert points._centre(own.pictures[0][2], 3)[0].shape == (1, 3, 4, 4)  # encoders take no less than 16 pixels


def test_points_are_pairs_of_picture_and_latent():
    points = Points(subject())
    for point in points.photographs(1, 16) + points.worst_stress(1, 16):
        with torch.no_grad():
            assert torch.allclose(points.network(point.x, point.condition)[0], point.z, atol=1e-9)


def test_the_stress_inputs_that_look_worst_come_first():
    """The output of a fresh flow is the enlarged input and a bit: the brightest leaves the range most."""
    names = [point.name for point in Points(subject(stress=(0.5, 40.0, 3.0))).worst_stress(2, 0)]
    assert names == ["flat_1", "flat_2"]


def test_bounds_are_above_what_is_measured():
    numbers = Lipschitz(size=16).run(subject(small_flow(transform=SPLINE))).numbers
    for way in ("forward", "inverse"):
        measured, local, paper, everywhere = (
            numbers[f"log10_{name}_{way}"] for name in ("measured", "local", "paper", "global")
        )
        assert measured <= local <= min(paper, everywhere) + 1e-9
    assert 0 < numbers["largest_share"] <= 1


def test_measured_is_the_whole_jacobians():
    numbers = Lipschitz(size=16).run(subject()).numbers
    values = whole(small_flow, "photograph")
    assert numbers["log10_measured_forward"] == pytest.approx(math.log10(values[0]), abs=0.01)
    assert numbers["log10_measured_inverse"] == pytest.approx(-math.log10(values[-1]), abs=0.01)


def test_an_affine_flow_has_no_global_bound_and_says_why():
    found = Lipschitz(size=16).run(subject())
    for way in ("forward", "inverse"):
        assert found.numbers[f"log10_global_{way}"] is None
        assert found.reasons[f"log10_global_{way}"] == "no global bound: scale times x"
        assert found.numbers[f"log10_local_{way}"] is not None
    assert set(found.reasons) == {"log10_global_forward", "log10_global_inverse"}


def test_the_table_has_every_layer_in_order():
    rows = Lipschitz(size=16).run(subject(low_light())).tables["lipschitz.csv"]
    assert [row["index"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["layer"] == "level 1 squeeze" and rows[-1]["layer"] == "level 3 step 1 coupling"
    assert {row["role"] for row in rows} == {"squeeze", "actnorm", "1x1", "injector", "coupling"}
    for row in rows:
        for way in ("forward", "inverse"):
            assert row[f"measured_{way}"] <= row[f"local_{way}"] * (1 + 1e-9)
            assert (row[f"global_{way}"] is None) == (row["role"] == "coupling")


def test_a_wider_region_has_a_larger_bound():
    narrow, wide = (Lipschitz(size=16, margin=margin).run(subject()).numbers for margin in (1.0, 3.0))
    assert wide["log10_local_forward"] > narrow["log10_local_forward"]
    assert wide["log10_measured_forward"] == narrow["log10_measured_forward"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Spectrum(pictures=0), "pictures must be 1 or more, got 0"),
        (lambda: Spectrum(size=-1), "size must be 0 or more, got -1"),
        (lambda: Lipschitz(margin=0.5), "a finite margin of 1 or more"),
    ],
)
def test_options_that_make_no_sense_are_told(make, said):
    with pytest.raises(ValueError, match=said):
        make()
