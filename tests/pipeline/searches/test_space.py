"""What a search tries: its grids as settings, and every mistake in one line."""

from __future__ import annotations

import copy

import pydantic
import pytest
import yaml
from small_search import BASE, CONTENT, params_with

from pipeline.config import Params
from pipeline.errors import ConfigError
from pipeline.params import load_params
from pipeline.searches.flows import FlowSpace
from pipeline.searches.outputs import winner_text
from pipeline.searches.trial import SearchTrial
from pipeline.studies.classifier.study import Classifier
from pipeline.studies.searches import study_space
from pipeline.tracking.identity import Identity


def space(**search):
    return study_space("own", params_with(**search))


def flow_space(**search):
    config = {**copy.deepcopy(CONTENT["searches"]["flows"]["conditional"]), **search}
    params = Params.model_validate({**CONTENT, "searches": {"flows": {"own": config}}})
    return FlowSpace("own", params.searches.flows["own"], params)


def test_a_grid_is_every_combination_and_grids_are_put_together():
    grids = [{"coupling": ["additive", "affine"], "depth": [1, 2]}, {"depth": [2, 3]}]
    found = [(one.coupling, one.depth) for one in space(grids=grids).settings()]
    # the core is affine: the second grid's depth 2 is in the first already
    assert found == [("additive", 1), ("additive", 2), ("affine", 1), ("affine", 2), ("affine", 3)]


def test_places_that_change_together_are_no_product():
    grids = [{"regularizer, weight": [["none", 0.0], ["fd", 0.1]], "permutation": ["conv", "shuffle"]}]
    found = [(one.regularizer, one.weight, one.permutation) for one in space(grids=grids).settings()]
    assert found == [("none", 0.0, "conv"), ("none", 0.0, "shuffle"), ("fd", 0.1, "conv"), ("fd", 0.1, "shuffle")]


def test_what_a_search_does_not_say_is_the_profiles():
    (plain,) = space(base={}, grids=[{"depth": [5]}]).settings()
    smoke = CONTENT["studies"]["smoke"]["classifier"]
    assert (plain.width, plain.batch, plain.steps) == (smoke["width"], smoke["batch"], smoke["iterations"])


def test_the_shipped_search_has_paper_bs_grids():
    params = load_params()
    settings = study_space("classifier", params).settings()
    assert len(settings) >= 24
    weights = {kind: {one.weight for one in settings if one.regularizer == kind} for kind in ("none", "fd", "nf")}
    assert weights == {"none": {0.0}, "fd": {1e-3, 1e-4, 5e-5}, "nf": {1e-3, 1e-4, 1e-5}}  # appendix G
    assert {one.directions for one in settings} == {"released"}
    assert {(one.coupling, one.permutation) for one in settings} == {
        (coupling, permutation) for coupling in ("additive", "affine") for permutation in ("shuffle", "conv")
    }
    assert len({one.depth for one in settings}) > 1


def test_the_shipped_search_over_flows_varies_what_it_must():
    varied = {place.rpartition(".")[2] for place in flow_space().varied}
    assert varied == {"regularizer", "lipschitz", "shift", "noise_std"}
    names = {
        one.settings.training.regularizer and one.settings.training.regularizer.name for one in flow_space().settings()
    }
    assert names == {None, "finite_differences", "normalizing_flow"}


def complaint(make):
    """Return what is said of a search that cannot be: one line that names it."""
    with pytest.raises(ConfigError) as caught:
        make().check()
    said = str(caught.value)
    assert "search own" in said and "\n" not in said
    return said


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"grids": [{"dept": [1]}]}, "option 'dept' does not exist; did you mean 'depth'?"),
        ({"grids": [{"depth": ["one"]}]}, "depth must be of type int, got 'one'"),
        ({"grids": [{"depth": [0]}]}, "depth must be 1 or more, got 0"),
        ({"grids": [{"coupling": ["afine"]}]}, "coupling 'afine' does not exist; did you mean 'affine'?"),
        ({"grids": [{"regularizer": ["fd"]}]}, "weight must be a positive number, got 0.0"),
        ({"grids": [{"regularizer, weight": [["fd"]]}]}, "'regularizer, weight' must be lists of 2, got ['fd']"),
        ({"grids": [{"learning_rate": [float("nan")]}]}, "learning_rate must be a positive number"),
        ({"base": {"widht": 4}}, "did you mean 'width'?"),
        ({"metrics": {"acuracy": "max", "condition": "min"}}, "metric 'acuracy' is not found by trials; did you mean"),
        ({"study": "toy2d"}, "study 'toy2d' cannot be searched; allowed: classifier"),
        (
            {"scheduler": "asha", "metrics": {"condition": "min", "accuracy": "max"}},
            "asha goes by accuracy, which trainings tell on their way; put it first in metrics, not 'condition'",
        ),
    ],
)
def test_a_mistake_is_one_line(search, said):
    assert said in complaint(lambda: space(**search))


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"grids": [{"settings.training.noise": [0.1]}]}, "there is no place 'settings.training.noise'"),
        ({"grids": [{"runtime.threads": [2]}]}, "'runtime.threads' is no place of a flow"),
        ({"grids": [{"settings.training.noise_std": [-1.0]}]}, "settings.training.noise_std"),
        ({"grids": [{"settings.training.steps.x": [1]}]}, "a place leads through a value that holds no others"),
        ({"grids": [{"design.options.lipschitz": [0.5]}]}, "lipschitz must be finite and greater than 1"),
        ({"grids": [{"design.options.lipshitz": [2.0]}]}, "lipshitz"),
        ({"grids": [{"settings.training.regularizer": [{"name": "fd"}]}]}, "regularizer 'fd' does not exist"),
        ({"task": "df2k_x5"}, "task 'df2k_x5' does not exist; did you mean"),
        ({"variant": "spline"}, "variant 'spline' does not exist; did you mean"),
        ({"seed": 11}, "seed 11 does not exist"),
        ({"metrics": {"validation_bits_per_dim": "min", "feature_variance.bigest": "min"}}, "feature_variance.bigest"),
    ],
)
def test_a_mistake_about_flows_is_one_line(search, said):
    assert said in complaint(lambda: flow_space(**search))


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"grids": []}, "grids"),
        ({"grids": [{}]}, "grids"),
        ({"grids": [{"depth": []}]}, "depth"),
        ({"metrics": {"accuracy": "max"}}, "metrics"),
        ({"metrics": {"accuracy": "most", "condition": "min"}}, "metrics.accuracy"),
        ({"scheduler": "random"}, "scheduler"),
        ({"within": -1.0}, "within"),
    ],
)
def test_the_shape_of_a_search_is_checked_when_the_file_is_read(search, said):
    with pytest.raises(pydantic.ValidationError, match=said):
        params_with(**search)


def made_up(own, setting):
    values = {place: getattr(setting, place) for place in own.varied}
    return SearchTrial(None, "k", Identity("trial", {}, "k"), values, setting, None)


@pytest.mark.parametrize(("regularizer", "weight"), [("none", 0.0), ("fd", 0.02), ("nf", 0.003)])
def test_the_winners_entry_can_be_pasted(regularizer, weight):
    own = space(grids=[{"regularizer, weight": [[regularizer, weight]], "permutation": ["shuffle"]}])
    (setting,) = own.settings()
    entry = yaml.safe_load(winner_text(own, [made_up(own, setting)], 0))
    options = {**CONTENT["studies"]["smoke"]["classifier"], **entry["studies"]["smoke"]["classifier"]}
    study = Classifier.with_options(options | {"variants": "affine-shuffle"})
    study.check()
    assert (study.core, study.depth, study.iterations) == ("affine-shuffle", BASE["depth"], BASE["steps"])
    assert {"none": 0.0, "fd": study.fd_affine, "nf": study.nf}[regularizer] == weight


def test_the_winning_flows_entry_can_be_pasted(tmp_path):
    grids = [{"design.options.lipschitz": [3.0], "settings.training.noise_std": [0.01]}]
    own = flow_space(grids=grids)
    (setting,) = own.settings()
    values = {"settings.training.noise_std": 0.01, "design.options.lipschitz": 3.0}
    trial = SearchTrial(None, "k", Identity("t", {}, "k"), values, setting, None)
    entry = yaml.safe_load(winner_text(own, [trial], 0))
    content = copy.deepcopy(CONTENT)
    content["variants"] |= entry["variants"]
    content["profiles"]["demo"]["df2k_x4"]["training"] |= entry["profiles"]["demo"]["df2k_x4"]["training"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    params = load_params(tmp_path / "params.yaml")
    assert params.variants["own_winner"].options["lipschitz"] == 3.0
    assert params.variants["own_winner"].transform == "certified_spline"
    assert params.settings("df2k_x4").training.noise_std == 0.01
