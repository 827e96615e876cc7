"""The verdict names the layer that explodes and what shows it, and not more than has been looked at."""

import json

import pytest
import torch
from small_flow import small_audit, small_flow

from models.flow.layers.coupling import Coupling, Injector
from pipeline.stability.advice import ADVICE
from pipeline.stability.evidence import BORDERLINE, EXPLODES, RULES, SAFE, evidence, worst
from pipeline.stability.verdict import advice, verdict, verdict_lines, worst_inputs, worst_layers

LOOKED = {"bad_pixels": {}, "feature_variance": {}}
LAYERS = [str(m.place) for m in small_flow().network.flow.modules() if isinstance(m, Coupling | Injector)]
ADDITIVE = {"name": "additive", "options": {}}
CALM = {
    "bad_pixels": {
        "bad_share_in_distribution": 0.0,
        "bad_share_stress": 0.0,
        "nonfinite_share_in_distribution": 0.0,
        "nonfinite_share_stress": 0.0,
        "largest_in_distribution": 1.1,
        "largest_stress": 1.3,
    },
    "reconstruction": {"image_max_abs": 1e-6, "latent_max_abs_stress": 1e-5},
    "pushed_features": {"bad_share_2": 0.0, "largest_2": 1.2, "bad_share_4": 0.0, "largest_4": 1.3},
    "certified_bound": {"displacement": 0.9, "value": None},
    "feature_variance": {"growth_coupling": 1.2},
}


def with_numbers(**changes):
    """Return CALM with other numbers; ``bad_pixels__largest_stress`` is that number of bad_pixels."""
    content = {analysis: dict(numbers) for analysis, numbers in CALM.items()}
    for name, value in changes.items():
        analysis, _, number = name.partition("__")
        content[analysis][number] = value
    return content


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_whose_scale_vanishes_is_named(tmp_path, layer):
    flow = small_flow()
    (broken,) = [m for m in flow.network.flow.modules() if str(getattr(m, "place", None)) == layer]
    with torch.no_grad():
        broken.net.out.conv.weight.zero_()
        broken.net.out.conv.bias.unflatten(0, (-1, 2))[:, 1] = -40.0  # sigmoid(-38) + 1e-4
    found = small_audit(tmp_path, flow, LOOKED)["verdict"]
    assert found["level"] == EXPLODES
    assert found["layers"][0]["layer"] == layer
    halves = 1.0 if "injector" in layer else 0.5  # of the channels
    assert found["layers"][0]["factor"] == pytest.approx(halves**0.5 * 1e4, rel=0.2)
    assert ADVICE["injector" if "injector" in layer else "coupling"] in found["advice"]


def test_no_layer_of_an_additive_flow_is_named(tmp_path):
    found = small_audit(tmp_path, small_flow(transform=ADDITIVE), LOOKED)["verdict"]
    assert found["layers"] == [] and found["level"] != EXPLODES


def test_a_layer_that_explodes_on_a_stress_input_alone_is_named_with_it():
    def rows(condition, variances):
        layers = ["latent", "level 2 step 1 1x1", "level 1 split"]
        return [{"condition": condition, "layer": n, "variance": v} for n, v in zip(layers, variances, strict=True)]

    table = [*rows("in_distribution", [1.0, 1.0, 1.0]), *rows("noise_1", [1.0, 1.0, 4e4]), *rows("flat", [1, 1, 1])]
    (found,) = worst_layers(table)
    assert (found.layer, found.condition, found.factor) == ("level 1 split", "noise_1", pytest.approx(200.0))
    assert advice([], [found], bounded=False) == [ADVICE["split"]]
    assert worst_layers([]) == []


def test_nothing_against_it_is_safe():
    found = verdict(CALM, {})
    assert (found["level"], found["blind_level"], found["why"], found["advice"]) == (SAFE, SAFE, [], [])


@pytest.mark.parametrize(
    ("changes", "level", "blind", "said"),
    [
        ({"bad_pixels__nonfinite_share_stress": 0.2}, EXPLODES, SAFE, "20.000% of the values on stress inputs are not"),
        ({"bad_pixels__largest_stress": 292.0}, EXPLODES, SAFE, "values up to 292 on stress inputs"),
        ({"bad_pixels__largest_in_distribution": 50.0}, EXPLODES, EXPLODES, "values up to 50 on photographs"),
        ({"bad_pixels__bad_share_stress": 0.02}, BORDERLINE, SAFE, "2.000% of the values on stress inputs are bad"),
        (
            {"bad_pixels__bad_share_in_distribution": 0.02},
            BORDERLINE,
            BORDERLINE,
            "2.000% of the values on photographs",
        ),
        ({"feature_variance__growth_split": 1e5}, EXPLODES, SAFE, "split: features grow 1e+05 times"),
        ({"feature_variance__growth_noise_coupling": 4.0}, BORDERLINE, SAFE, "noise coupling: features grow 4 times"),
        ({"reconstruction__image_max_abs": 383.0}, EXPLODES, EXPLODES, "comes back from the latent 383 off"),
        ({"reconstruction__latent_max_abs_stress": None}, EXPLODES, SAFE, "values that are not finite, stress inputs"),
        ({"pushed_features__largest_4": 1e9}, EXPLODES, EXPLODES, "1e+09 where features are pushed 4 times"),
        ({"pushed_features__bad_share_2": 0.001}, BORDERLINE, BORDERLINE, "bad where features are pushed 2 times"),
        ({"certified_bound__displacement": None}, BORDERLINE, BORDERLINE, "nothing bounds"),
    ],
)
def test_each_piece_of_evidence(changes, level, blind, said):
    found = verdict(with_numbers(**changes), {})
    assert (found["level"], found["blind_level"]) == (level, blind)
    (why,) = found["why"]
    assert said in why


def test_the_blind_level_sees_no_stress_input():
    worse = {name: (1e9 if "stress" in name else value) for name, value in CALM["bad_pixels"].items()}
    content = {
        **CALM,
        "bad_pixels": worse,
        "feature_variance": {"growth_coupling": 1e9, "stress_inputs_with_nonfinite_features": 20.0},
        "reconstruction": {"image_max_abs": 0.0, "latent_max_abs_stress": None},
    }
    assert worst(evidence(content)) == EXPLODES and evidence(content, blind=True) == []
    assert all("stress" not in rule.number and "growth" not in rule.number for rule in RULES if rule.blind)


def test_the_first_push_that_explodes_is_told_alone():
    content = with_numbers(pushed_features__largest_2=20.0, pushed_features__largest_4=1e9)
    assert [e.words for e in evidence(content)] == ["values up to 20 where features are pushed 2 times"]


def test_where_no_draw_was_looked_at_nothing_is_called_safe():
    found = verdict({"certified_bound": {"displacement": 0.9}}, {})
    assert found["level"] == found["blind_level"] == BORDERLINE
    assert found["why"] == ["no draw was looked at: the analysis bad_pixels was not run"]


def test_every_cause_has_advice_and_all_advice_a_cause():
    causes = {rule.cause for rule in RULES if rule.cause}
    roles = {"coupling", "noise coupling", "injector", "split", "1x1", "actnorm", "bounded coupling"}
    assert causes | roles | {"nothing looked at"} == set(ADVICE)


def test_couplings_that_are_bounded_get_other_advice():
    growth = worst_layers(
        [{"condition": c, "layer": n, "variance": v} for c, v2 in (("in_distribution", 1.0), ("x", 100.0))
         for n, v in (("latent", 1.0), ("level 1 step 2 coupling", v2))]
    )  # fmt: skip
    assert advice([], growth, bounded=True) == [ADVICE["bounded coupling"]]
    assert advice([], growth, bounded=False) == [ADVICE["coupling"]]


def test_the_worst_inputs_come_first():
    rows = [
        {"name": n, "kind": "k", "bad_share": s, "nonfinite_values": 0, "largest": 2.0}
        for n, s in (("a", 0.1), ("b", 0.0), ("c", 0.9), ("d", 0.5), ("e", 0.05))
    ]
    assert [entry["name"] for entry in worst_inputs(rows)] == ["c", "d", "a"] and worst_inputs([]) == []
    rows[-1]["kind"] = "own"
    assert [entry["name"] for entry in worst_inputs(rows)] == ["c", "d", "a", "e"]


def test_the_verdict_is_written_and_said(tmp_path, capsys):
    summary = small_audit(tmp_path, small_flow(), LOOKED)
    assert json.loads((tmp_path / "summary.json").read_text())["verdict"] == summary["verdict"]
    lines = verdict_lines(summary["verdict"])
    assert capsys.readouterr().out.splitlines()[-len(lines) :] == lines
    assert lines[0] == f"verdict: {summary['verdict']['level']}" and lines[1].startswith("  why:    ")
    assert any(line.startswith("  try:    ") for line in lines)
