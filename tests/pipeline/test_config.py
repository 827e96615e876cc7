"""params.yaml: what the committed file holds loads, and every mistake is one line that teaches."""

import copy
import os
from pathlib import Path

import pydantic
import pytest
import yaml

from pipeline.config import Params
from pipeline.errors import ConfigError, brief, nearest
from pipeline.experiment import Experiment
from pipeline.params import load_params

COMMITTED = Path(__file__).resolve().parents[2] / "params.yaml"
CONTENT = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))


def changed(tmp_path, keys, value):
    """Write the committed file with ``value`` at ``keys``; return its path."""
    content = copy.deepcopy(CONTENT)
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def fault(path):
    """Return the message of the error that ``path`` raises; it must be one line that names the file."""
    with pytest.raises(ConfigError) as caught:
        load_params(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize("profile", CONTENT["profiles"])
def test_every_profile_loads(tmp_path, profile):
    params = load_params(changed(tmp_path, ["profile"], profile))
    for task in params.tasks:
        settings = params.settings(task)
        assert settings.training.steps == CONTENT["profiles"][profile][task]["training"]["steps"]
        assert settings.data.crop % params.task(task).scale == 0
        assert len(settings.network.noise_steps) in (0, settings.network.levels)
        assert max(settings.network.encoder.taps) < settings.network.encoder.blocks
        assert params.dataset(task).source


def test_what_is_ours_of_a_training_is_in_no_paper_profile():
    """It is opted in where no paper's figures are to be met."""
    profiles = load_params(COMMITTED).profiles
    for task, settings in profiles["paper"].items():
        training = settings.training
        assert (training.start, training.clip_spikes, training.recovery) == (None, None, None)
        assert settings.pretraining.restoration == 0.0
        assert profiles["demo"][task].training.start is not None


def test_the_committed_file_is_what_a_newcomer_needs():
    params = load_params(COMMITTED)
    assert params.profile == "demo"
    assert {dataset.source for dataset in params.datasets.values()} == {"demo"}


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        (["taskz"], "tasks"),
        (["tasks", "df2k_x4", "scal"], "scale"),
        (["variants", "affine", "optoins"], "options"),
        (["datasets", "df2k", "sorce"], "source"),
        (["runtime", "log_evry"], "log_every"),
        (["profiles", "demo", "df2k_x4", "trainig"], "training"),
        (["profiles", "demo", "df2k_x4", "training", "stepz"], "steps"),
        (["profiles", "paper", "df2k_x4", "network", "hiden"], "hidden"),
        (["profiles", "smoke", "df2k_x4", "network", "encoder", "chanels"], "channels"),
    ],
)
def test_unknown_key_names_the_nearest(tmp_path, keys, meant):
    message = fault(changed(tmp_path, keys, 1))
    assert f"unknown key '{'.'.join(keys)}'" in message
    assert f"did you mean '{meant}'?" in message


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["variants", "affine", "transform"], "afine", "did you mean 'affine'?"),
        (["variants", "affine", "options"], {"epz": 0.1}, "did you mean 'eps'?"),
        (
            ["profiles", "paper", "lol", "stability", "analyses"],
            {"bad_pixel": {}},
            "profiles.paper.lol.stability.analyses: analysis 'bad_pixel' does not exist; did you mean 'bad_pixels'?",
        ),
        (
            ["profiles", "demo", "lol", "stability", "analyses"],
            {"certified_bound": {"latents": 6.0}},
            "certified_bound: option 'latents' does not exist; did you mean 'latent'?",
        ),
        (["profiles", "demo", "lol", "stability", "analyses"], {"certified_bound": {"latent": 0}}, "latent must be"),
        (["profiles", "demo", "lol", "stability", "analyses"], {}, "stability.analyses"),
        (["variants", "rq_spline", "options"], {"bownd": 0.5}, "did you mean 'bound'?"),
        (["variants", "rq_spline", "options"], {"bound": -1.0}, "variants.rq_spline"),
        (["profile"], "dmeo", "did you mean 'demo'?"),
        (["tasks", "df2k_x4", "dataset"], "df2", "did you mean 'df2k'?"),
        (["tasks", "new"], {"kind": "super_resolution", "dataset": "df2k", "scale": 4}, "'new'"),
        (["tasks", "df2k_x4", "scale"], 3, "tasks.df2k_x4.scale"),
        (["seeds"], ["ten"], "seeds.0"),
        (["seeds"], [], "seeds"),
        (["seeds"], [10, 11, 10], "an entry twice"),
        (["variants", "../up"], {"transform": "affine"}, "variants.../up"),
        (["variants", "encoder"], {"transform": "affine"}, "called encoder"),
        (["variants", "affine", "options"], {"eps": "small"}, "variants.affine.options.eps"),
        (["profiles", "demo", "df2k_x4", "training", "steps"], 0, "profiles.demo.df2k_x4.training.steps"),
        (["profiles", "demo", "df2k_x4", "training", "ema_decay"], 1.0, "training.ema_decay"),
        (["profiles", "demo", "df2k_x4", "sampling", "quantization"], "ceil", "sampling.quantization"),
        (
            ["profiles", "demo", "df2k_x4", "training", "memory"],
            "revesible",
            "or 'reversible' (got 'revesible')",
        ),
        (
            ["profiles", "demo", "lol", "training", "regularizer"],
            {"name": "finite_diferences"},
            "training.regularizer: regularizer 'finite_diferences' does not exist; did you mean 'finite_diff",
        ),
        (
            ["profiles", "demo", "lol", "training", "regularizer"],
            {"name": "finite_differences", "options": {"weigth": 1.0}},
            "profiles.demo.lol.training.regularizer: option 'weigth' does not exist; did you mean 'weight'?",
        ),
        (["runtime", "workers"], -1, "runtime.workers"),
    ],
)
def test_wrong_value_says_where_and_what(tmp_path, keys, value, said):
    assert said in fault(changed(tmp_path, keys, value))


def with_tasks(tmp_path, **tasks):
    for name, like in tasks.items():
        tasks[name] = {"kind": "super_resolution", "dataset": "df2k", "scale": 4, **like}
    return changed(tmp_path, ["tasks"], {**CONTENT["tasks"], **tasks})


@pytest.mark.parametrize("profile", CONTENT["profiles"])
def test_a_task_that_is_like_another_has_its_sizes_in_every_profile(tmp_path, profile):
    params = load_params(with_tasks(tmp_path, own={"like": "df2k_x4"}, other={"like": "own"}))
    params = params.model_copy(update={"profile": profile})
    assert params.settings("own") == params.settings("other") == params.settings("df2k_x4")


def test_a_task_can_be_like_one_that_is_not_run(tmp_path):
    params = load_params(changed(tmp_path, ["tasks"], {"own": {**CONTENT["tasks"]["df2k_x8"], "like": "df2k_x8"}}))
    assert params.settings("own").network.levels == 4


def test_what_a_task_is_like_is_no_setting_of_its_own(tmp_path):
    """Its sizes are: a task that is told them by like and one that spells them out are the same experiment."""
    from pipeline.settings import resolved

    told = load_params(with_tasks(tmp_path, own={"like": "df2k_x4"}))
    tasks = resolved(told)["tasks"]
    assert tasks["own"] == tasks["df2k_x4"]


def test_sizes_of_its_own_go_before_those_of_the_task_it_is_like(tmp_path):
    path = with_tasks(tmp_path, own={"like": "df2k_x4"})
    content = yaml.safe_load(path.read_text())
    content["profiles"]["demo"]["own"] = content["profiles"]["smoke"]["df2k_x4"]
    path.write_text(yaml.safe_dump(content))
    params = load_params(path)
    assert params.settings("own").training.steps == CONTENT["profiles"]["smoke"]["df2k_x4"]["training"]["steps"]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({"own": {}}, "profiles.demo has no sizes for task 'own'; say like: NAME"),
        ({"own": {"like": "df2k_x44"}}, "tasks.own.like: did you mean 'df2k_x4'?"),
        ({"own": {"like": "own"}}, "tasks.own.like goes in a circle (own -> own)"),
        ({"a": {"like": "b"}, "b": {"like": "a"}}, "tasks.a.like goes in a circle (a -> b -> a)"),
        ({"own": {"like": "lol"}}, "low_light at scale 1, whose sizes do not fit super_resolution at scale 4"),
        ({"own": {"like": "df2k_x8"}}, "tasks.own.like is df2k_x8, super_resolution at scale 8"),
    ],
)
def test_a_task_that_is_like_nothing_useful_is_told_why(tmp_path, tasks, said):
    assert said in fault(with_tasks(tmp_path, **tasks))


def test_the_modes_of_memory_are_those_that_there_are():
    from typing import get_args

    from models.flow.memory_saving import MODES
    from pipeline.config import TrainingConfig

    assert list(get_args(TrainingConfig.model_fields["memory"].annotation)) == list(MODES)


def test_a_number_among_the_options_of_a_data_set_is_text(tmp_path):
    params = load_params(changed(tmp_path, ["datasets", "pictures", "options"], {"validation": 0.25}))
    assert params.datasets["pictures"].options == {"validation": "0.25"}


@pytest.mark.parametrize(("kind", "meant"), [("variant", "affine"), ("task", "df2k_x4")])
def test_unknown_name_asked_by_a_stage(kind, meant):
    params = load_params(COMMITTED)
    with pytest.raises(ConfigError, match=f"unknown {kind} '{meant}s'; did you mean '{meant}'"):
        getattr(params, kind)(f"{meant}s")


def test_missing_key_is_named(tmp_path):
    content = copy.deepcopy(CONTENT)
    del content["profiles"]["demo"]["df2k_x4"]["sampling"]["draws"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert "profiles.demo.df2k_x4.sampling.draws" in fault(path)


def test_invalid_yaml_names_the_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("profile: demo\nseeds: [1, 2\ntasks: {}\n", encoding="utf-8")
    assert "line 3" in fault(path)


@pytest.mark.parametrize("content", [b"", b"just a word", b"- a\n- b\n", b"\xff\xfe\x00"])
def test_a_file_of_something_else(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    fault(path)


def test_missing_file(tmp_path):
    assert "is missing" in fault(tmp_path / "params.yaml")


def test_nearest_without_a_likely_match_lists_what_is_allowed():
    assert nearest("zzz", ["b", "a"]) == "allowed: a, b"


@pytest.mark.parametrize("keys", [["tasks"], ["variants"], ["datasets"], ["profiles"]])
@pytest.mark.parametrize("name", ["a;touch PWNED", "$(id)", "a b", "a\nb", "../up", "a.b", "", "-rf", "é", "x" * 65])
def test_a_name_that_a_shell_or_a_folder_could_mistake_is_refused(keys, name):
    content = copy.deepcopy(CONTENT)
    content[keys[0]][name] = next(iter(content[keys[0]].values()))
    with pytest.raises(pydantic.ValidationError, match="a name has letters of a to z, digits, _ and -, at most 64"):
        Params.model_validate(content)


@pytest.mark.parametrize("name", ["df2k_x4", "A-1", "_x", "x" * 64])
def test_a_plain_name_is_allowed(name):
    variants = {name: CONTENT["variants"]["affine"]}
    assert list(Params.model_validate({**CONTENT, "variants": variants, "shields": {}}).variants) == [name]


@pytest.mark.parametrize("group", ["tasks", "variants"])
def test_nothing_to_compare_is_refused(tmp_path, group):
    assert f"{group}: " in fault(changed(tmp_path, [group], {}))


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1"])
@pytest.mark.parametrize("group", ["sampling", "stability"])
def test_a_temperature_that_none_can_draw_at_is_refused(tmp_path, group, value):
    message = fault(changed(tmp_path, ["profiles", "demo", "lol", group, "temperature"], float(value)))
    assert f"profiles.demo.lol.{group}.temperature" in message


@pytest.mark.parametrize(
    ("shields", "said"),
    [
        ({"afine": {"quantile": 0.01}}, "shields.afine: no variant is called afine; did you mean 'affine'?"),
        ({"affine": {"quantile": 0.5}}, "shields.affine.quantile"),
        ({"affine": {"quantile": -0.1}}, "shields.affine.quantile"),
        ({"affine": {"budget": 0.0}}, "shields.affine.budget"),
        ({"affine": {}}, "either a quantile or a budget"),
        ({"affine": {"quantile": 0.01, "budget": 55.0}}, "either a quantile or a budget"),
        ({"affine": {"quantil": 0.01}}, "did you mean 'quantile'?"),
        ({"affine_shielded": {"quantile": 0.01}}, "no variant is called affine_shielded"),
    ],
)
def test_an_impossible_shield_is_one_line(tmp_path, shields, said):
    assert said in fault(changed(tmp_path, ["shields"], shields))


def test_a_variant_cannot_have_the_name_of_a_shielded_one(tmp_path):
    path = changed(tmp_path, ["variants", "affine_shielded"], {"transform": "affine"})
    assert "shields.affine makes affine_shielded, but a variant has that name" in fault(path)


def test_a_shielded_variant_has_the_design_of_the_one_inside():
    params = load_params(COMMITTED)
    found = Experiment.of(params, "lol", 10, "affine_shielded")
    assert (found.design, found.shield) == (params.variants["affine"], params.shields["affine"])
    assert found.trained == "affine"
    assert Experiment.of(params, "lol", 10, "affine").shield is None


def written(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def bomb(levels):
    """Return YAML of ``levels`` lists, each naming the one before nine times."""
    lines = ["a0: &a0 [lol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds: [1]\nprofile: demo\nseeds: [2]\n", "line 3: the key 'seeds' stands there already in line 1"),
        ("tasks:\n  a: {kind: x, kind: y}\n", "line 2: the key 'kind' stands there already in line 2"),
        (bomb(12), "stands for more than 100,000 entries"),
        ("a: &a\n  b: *a\n", "leads back to what holds it"),
        ("a: [", "line 1"),
        ("a: 1\n---\nb: 2\n", "found another document"),
        ("[" * 1500, "too deep"),
        ("seeds: [2020-13-45]\n", "a value is not what it is marked as"),
        ("seeds: !!int x\n", "a value is not what it is marked as"),
        ("seeds: !!python/name:os.system\n", "could not determine a constructor"),
        (f"profile: {'9' * 5000}\n", "a value is not what it is marked as"),
        (b"profile: \xff\n", "byte 9 is not UTF-8"),
        (b"profile: \x00\n", "not valid YAML"),
        ("", "file: "),
        ("just words", "file: "),
        ("a: &a [" + "x, " * 500 + "]\nb: [" + "*a, " * 500 + "]", "line 2: stands for more than 100,000"),
        ("#" * 300_000, "more than 262,144"),
    ],
    ids=range(17),
)
def test_yaml_that_is_none_or_more_than_it_seems(tmp_path, text, said):
    message = fault(written(tmp_path, text))
    assert said in message
    assert len(message) - len(str(tmp_path)) < 400


def test_a_value_is_shown_in_part(tmp_path):
    message = fault(written(tmp_path, "profile: {" + ", ".join(f"key{n}: {'x' * 2_000}" for n in range(100)) + "}"))
    assert len(message) - len(str(tmp_path)) < 400


def test_a_folder_a_pipe_and_a_loop_are_no_params(tmp_path):
    path = tmp_path / "params.yaml"
    path.mkdir()
    assert "it is a folder, not a file" in fault(path)
    path.rmdir()
    os.mkfifo(path)
    assert "it is a pipe, a socket or a device, not a file" in fault(path)
    path.unlink()
    path.symlink_to(path)
    assert "a link that leads in a circle" in fault(path)


@pytest.mark.parametrize(
    "value", [10**6000, [[[[["deep"]]]]], {"a": {"b": {"c": {"d": 1}}}}, b"x" * 10**6, "\x1b[2J"], ids=range(5)
)
def test_brief_is_brief_and_printable(value):
    assert len(brief(value)) <= 80
    assert brief(value).isprintable()


def test_brief_does_not_write_out_what_aliases_stand_for():
    value = ["lol"]
    for _ in range(40):
        value = [value] * 9  # written out, 9^40 words
    assert len(brief(value)) <= 80
