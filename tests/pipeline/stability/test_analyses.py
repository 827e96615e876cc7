"""Analyses say what they are: numbers, options, tables, plots; and an audit runs those that are asked for."""

import csv
import dataclasses
import json
from typing import ClassVar

import pytest
import torch
from small_flow import small_audit, small_flow

from pipeline.stability.analyses import ANALYSES, cheap, chosen
from pipeline.stability.analyses.certified_bound import CertifiedBound
from pipeline.stability.analyses.feature_variance import FeatureVariance
from pipeline.stability.analyses.gradient_angle import GradientAngle
from pipeline.stability.contract import COSTS, Analysis, Bars, Found, Number
from pipeline.stability.measure.bounds import restoration_bound
from pipeline.stability.stress import StressInput
from pipeline.stability.subject import Subject

SPLINE = {"name": "certified_spline", "options": {"bound": 0.5, "lipschitz": 4.0, "shift": 0.3}}
CAPS = {"prior_mean": 1.0, "prior_log_scale": 3.0}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Return the folder and the summary of an audit by every analysis."""
    folder = tmp_path_factory.mktemp("audit")
    few = {"attack": {"steps": 5}, "draw_attack": {"steps": 2, "side": 16}}
    return folder, small_audit(folder, small_flow(), {name: {} for name in ANALYSES} | few)


class Example(Analysis):
    """An analysis that exists in these tests alone."""

    name, title, cost = "example", "An example", "seconds"
    numbers: ClassVar = {
        "first": Number("First"),
        "part_<kind>": Number("The part of {}", "%", factor=100.0, members={"b": "bees", "a": "ants"}),
        "part_all": Number("All of it", better="higher"),
        "last": Number("Last", better="higher"),
    }

    def run(self, subject):
        return Found({"first": 1.0})


@dataclasses.dataclass(frozen=True)
class Choosy(Example):
    share: float = 0.5
    steps: int = 3
    exact: bool = False


@pytest.mark.parametrize("analysis", ANALYSES.values(), ids=lambda analysis: analysis.name)
def test_an_analysis_says_what_its_audit_writes(audited, analysis):
    folder, summary = audited
    assert analysis.cost in COSTS and analysis.title
    found = summary["analyses"][analysis.name]
    assert found and all(analysis.number(name) for name in found)
    assert {n for n, value in found.items() if value is None} == {
        reason.partition(".")[2] for reason in summary["reasons"] if reason.startswith(f"{analysis.name}.")
    }
    for file, columns in analysis.tables.items():
        with (folder / file).open(encoding="utf-8", newline="") as table:
            assert csv.DictReader(table).fieldnames == list(columns)
    for plot in analysis.plots:
        used = (
            (plot.group, plot.value, plot.weight) if isinstance(plot, Bars) else (plot.x, plot.y, plot.line, plot.group)
        )
        assert set(used) <= set(analysis.tables[plot.table])


def test_an_attack_leaves_out_the_distance_of_draws_where_it_is_not_asked_for(tmp_path):
    quick = {"steps": 2, "side": 16, "pictures": 1}
    summary = small_audit(tmp_path, small_flow(), {"draw_attack": {"distance": False, **quick}})
    found = summary["analyses"]["draw_attack"]
    left_out = {name for name in found if "distance" in name}
    assert len(left_out) == 7 and all(found[name] is None for name in left_out)
    assert {reason for name, reason in summary["reasons"].items() if "distance" in name} == {"not asked for"}
    assert found["largest_free_drawn"] > 0
    with (tmp_path / "draw_attack.csv").open(encoding="utf-8", newline="") as table:
        assert {row["goal"] for row in csv.DictReader(table)} == {"largest", "bad_share"}


def test_no_two_analyses_write_one_file_or_draw_one_plot():
    files = [file for analysis in ANALYSES.values() for file in analysis.tables]
    plots = [plot.name for analysis in ANALYSES.values() for plot in analysis.plots]
    assert len(set(files)) == len(files) and len(set(plots)) == len(plots)


def test_a_member_of_a_family_fills_in_its_title():
    assert Example.number("part_b").title == "The part of bees" and Example.number("part_b").unit == "%"
    assert Example.number("part_fire_ants").title == "The part of fire ants"
    assert Example.number("part_all").title == "All of it"  # said by itself, no member
    assert Example.number("whole") is None and Example.number("part_") is None


def test_numbers_stand_in_the_order_in_which_they_are_said():
    names = ["unsaid", "last", "part_all", "part_wasp", "part_a", "first", "part_b"]
    assert Example.ordered(names) == ["first", "part_b", "part_a", "part_wasp", "part_all", "last", "unsaid"]


def test_options_have_defaults():
    assert Choosy.options() == {"share": 0.5, "steps": 3, "exact": False}
    assert Choosy.with_options({"share": 1, "exact": True}) == Choosy(share=1, exact=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shrae": 0.5}, "option 'shrae' does not exist; did you mean 'share'?"),
        ({"share": "half"}, "share must be of type float, got 'half'"),
        ({"share": True}, "share must be of type float, got True"),
        ({"steps": 0.5}, "steps must be of type int, got 0.5"),
        ({"exact": 1}, "exact must be of type bool, got 1"),
    ],
)
def test_wrong_options_are_told(given, said):
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        Choosy.with_options(given)


def test_an_analysis_without_options_says_so():
    with pytest.raises(ValueError, match="bad_pixels: option 'size' does not exist; bad_pixels has none"):
        chosen({"bad_pixels": {"size": 1}})


def test_an_audit_runs_what_is_chosen_alone(tmp_path):
    summary = small_audit(tmp_path, small_flow(), {"certified_bound": {}, "reconstruction": {}})
    assert list(summary["analyses"]) == ["reconstruction", "certified_bound"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certified_bound.csv", "summary.json"]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_unless_told_otherwise_an_audit_runs_what_takes_seconds(monkeypatch):
    slow = type("Slow", (Example,), {"name": "slow", "cost": "minutes"})
    monkeypatch.setitem(ANALYSES, "slow", slow)
    monkeypatch.setitem(ANALYSES, "example", Example)
    names = [analysis.name for analysis in chosen(cheap())]
    assert "example" in names and "slow" not in names
    assert [analysis.name for analysis in chosen({"slow": {}})] == ["slow"]


def test_a_number_of_which_nothing_is_said_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(
        ANALYSES, "example", type("Wild", (Example,), {"run": lambda self, subject: Found({"odd": 1.0})})
    )
    with pytest.raises(ValueError, match=r"example says nothing of its numbers \['odd'\]"):
        small_audit(tmp_path, small_flow(), {"example": {}})


def test_the_bound_is_of_the_latents_asked_for():
    subject = Subject(small_flow(transform=SPLINE, caps=CAPS), [], [], 1, 0.5, 10)
    one, six = (CertifiedBound(latent=latent).run(subject).numbers for latent in (1.0, 6.0))
    assert one["value"] < six["value"] and one["least_slope"] == six["least_slope"] == 0.25
    assert 0.9 < six["draw"] < six["value"]
    assert six["good_latent"] is None
    assert CertifiedBound().run(subject).reasons["good_draw"] == "not ruled out at latent 0"
    with pytest.raises(ValueError, match="latent must be a positive number"):
        CertifiedBound(latent=0.0)


def test_up_to_which_latents_no_value_is_bad_is_told():
    still = {"name": "certified_spline", "options": {"bound": 0.01, "lipschitz": 4.0, "shift": 0.001}}
    subject = Subject(small_flow(transform=still, caps=CAPS | {"overshoot": 0.0}), [], [], 1, 0.5, 10)
    bound, numbers = restoration_bound(subject.network), CertifiedBound().run(subject).numbers
    assert (numbers["good_latent"], numbers["good_draw"]) == (bound.good_latent(), bound.good_draw())
    assert 0.0 < numbers["good_latent"] < numbers["good_draw"]


def test_the_shares_of_the_bound_are_those_of_its_layers_and_make_it_whole():
    found = CertifiedBound().run(Subject(small_flow(transform=SPLINE, caps=CAPS), [], [], 1, 0.5, 10))
    shares = {name: share for name, share in found.numbers.items() if name.startswith("share_")}
    assert set(shares) == {f"share_{r}" for r in ("latent", "coupling", "noise_coupling", "injector", "base", "centre")}
    assert sum(shares.values()) == pytest.approx(1.0) and min(shares.values()) >= -1e-9
    rows = found.tables["certified_bound.csv"]
    for role in ("injector", "noise coupling"):
        own = [row for row in rows if row["role"] == role]
        assert [row["layer"].split()[-1] for row in own] == [role.split()[-1]] * len(own)
        assert sum(row["share"] for row in own) == pytest.approx(shares[f"share_{role.replace(' ', '_')}"])
        assert all(row["radius"] == pytest.approx(0.701, abs=1e-3) for row in own)  # 0.3 of shift, 0.401 of the box
    assert not CertifiedBound().run(Subject(small_flow(), [], [], 1, 0.5, 10)).tables["certified_bound.csv"]


def variances(pictures, stress):
    """Return what FeatureVariance finds where the network sees constant pictures of these values."""

    def seen(value):
        return torch.full((1, 3, 4, 4), value)

    held_out = [(f"p{i}", torch.zeros(1, 3, 16, 16), seen(value)) for i, value in enumerate(pictures)]
    inputs = [StressInput(f"flat_{i}", "flat", seen(value)) for i, value in enumerate(stress)]
    return FeatureVariance().run(Subject(small_flow(), held_out, inputs, 1, 0.9, 10))


def test_stress_inputs_that_break_the_features_are_counted_in_the_reason():
    found = variances([0.5], [0.1, float("nan"), 0.9])
    assert found.numbers["stress_inputs_with_nonfinite_features"] == 1.0
    assert found.numbers["largest_in_distribution"] is not None
    undefined = {"largest_stress", "largest_ratio", *(name for name in found.numbers if name.startswith("growth_"))}
    assert len(undefined) > 5 and found.reasons == dict.fromkeys(undefined, "not finite (1 of 3 inputs)")


def test_photographs_that_break_the_features_are_the_reason():
    found = variances([0.5, float("nan")], [0.1])
    assert found.numbers["largest_in_distribution"] is None and found.numbers["largest_stress"] is not None
    assert set(found.reasons.values()) == {"not finite on photographs"}


def test_a_stress_input_without_a_finite_draw_goes_not_forward():
    found = variances([0.5], [0.1, float("nan")])
    assert found.numbers["stress_inputs_without_finite_draw"] == 1.0
    assert {row["condition"] for row in found.tables["feature_variance_forward.csv"]} == {"in_distribution", "flat_0"}
    assert found.numbers["forward_largest_stress"] is not None
    found = variances([0.5], [float("nan")])
    assert found.numbers["forward_largest_stress"] is None
    assert found.reasons["forward_largest_stress"] == "no stress input to go by"


def test_going_forward_the_features_of_a_draw_are_met_in_the_other_order():
    tables = variances([0.5], [0.1]).tables
    back, there = (
        [row["variance"] for row in tables[file] if row["condition"] == "flat_0"]
        for file in ("feature_variance.csv", "feature_variance_forward.csv")
    )
    # before the first layer the draw has the enlarged input in it, after the last layer back it has not
    assert there[:0:-1] == pytest.approx(back[:-1], rel=1e-5)


def test_the_table_of_variances_names_levels_and_kinds():
    rows = variances([0.5, 0.6], [0.1]).tables["feature_variance.csv"]
    assert {row["kind"] for row in rows} == {"in_distribution", "flat"} and {row["level"] for row in rows} == {
        "",
        "1",
        "2",
    }
    assert [row["layer"] for row in rows if not row["level"]] == ["latent", "latent"]


def angles(*pictures, **options):
    """Return what GradientAngle finds on constant inputs of these values."""
    held_out = [
        (f"p{number}", torch.full((1, 3, 24, 32), 0.5), torch.full((1, 3, 6, 8), value))
        for number, value in enumerate(pictures)
    ]
    return GradientAngle(**options).run(Subject(small_flow(), held_out, [], 1, 0.9, 10))


def test_gradients_of_a_network_that_is_well_conditioned_have_hardly_an_angle():
    found = angles(0.4, 0.5)
    assert found.numbers["largest_float64"] < 1e-6 and found.numbers["largest_float32"] < 1e-2 and not found.reasons
    assert found.numbers["mean_float32"] <= found.numbers["largest_float32"]


def test_one_picture_without_an_angle_leaves_none_in_all():
    found = angles(0.5, float("nan"))
    assert set(found.numbers.values()) == {None}
    assert found.reasons == dict.fromkeys(found.numbers, "the true gradient is not finite (1 of 2 pictures)")
    assert angles(0.5, float("nan"), pictures=1).numbers["mean_float64"] is not None
    assert set(angles().reasons.values()) == {"no picture"}


@pytest.mark.parametrize(("size", "crop"), [(8, (8, 8)), (30, (24, 28)), (1, (4, 4)), (400, (24, 32))])
def test_a_crop_is_of_whole_blocks(size, crop):
    subject = Subject(small_flow(), [], [], 1, 0.9, 10)
    target, seen = GradientAngle(size=size)._cropped(subject, torch.rand(1, 3, 24, 32), torch.rand(1, 3, 6, 8))
    assert target.shape[2:] == crop and seen.shape[2:] == (crop[0] // 4, crop[1] // 4)
