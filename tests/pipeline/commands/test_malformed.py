"""Malformed params.yaml, config.json and manifest.json by the hundred: one clear line each, nothing written."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from malformed import PARAMS, PARAMS_TEXT, at_both_depths, cut_or_flipped, damaged, is_one_clear_line, run, tree, tried
from small_flow import small_flow

from pipeline.errors import DataError
from pipeline.feed.manifest import read_manifest
from pipeline.model_folder import save_model


def refuses_or_takes(folder, before, code, said):
    """A case may be harmless: then the command succeeds. Else it says one line, and in both it writes nothing."""
    if code:
        assert code == 2
        is_one_clear_line(said)
    assert tree(folder) == before


def check_params(content, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "params"
    folder.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True)
    (folder / "params.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    before = tree(folder)
    with tried("params.yaml in check"):
        refuses_or_takes(folder, before, *run(folder, "check"))


def with_variant(name):
    return {**PARAMS, "variants": {name: PARAMS["variants"]["affine"]}}


def with_analyses(analyses):
    sizes = PARAMS["profiles"]["smoke"]["df2k_x4"]
    changed = {**sizes, "stability": {**sizes["stability"], "analyses": analyses}}
    return {**PARAMS, "profiles": {"smoke": {"df2k_x4": changed}}}


test_params, test_many_params = at_both_depths(
    check_params,
    damaged(PARAMS) | cut_or_flipped(PARAMS_TEXT),
    [
        "",
        "[" * 900,
        "a: &a [*a]",
        "seeds: !!int x",
        "seeds: 2020-13-45",
        "? [a]\n: b",
        "\ud800",
        with_variant("a;touch PWNED"),
        with_variant("\x1b[2J"),
        with_analyses({"\n": {}}),
        with_analyses({"certified_bound": {"\x1b[2J": 1}}),
        {**PARAMS, "datasets": {"df2k": {"source": "a\n\x1b[2J"}}},
        {**PARAMS, "datasets": {"df2k": {"source": "x" * 3000}}},
        {**PARAMS, "datasets": {"df2k": {"source": "~nobody-of-that-name/x"}}},
        {**PARAMS, "tasks": {}},
        {**PARAMS, "variants": {}},
    ],
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    flow = small_flow()
    folder = tmp_path_factory.mktemp("model")
    save_model(folder / "model", flow.network, flow.config)
    return folder


CONFIG = {
    "format": 1,
    "kind": "super_resolution",
    "task": "df2k_x4",
    "variant": "affine",
    "profile": "demo",
    "scale": 4,
    "network": {
        "encoder": {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]},
        "levels": 2,
        "steps": 1,
        "hidden": 4,
        "noise_steps": [0, 1],
        "permutation": "learned",
    },
    "transform": {"name": "affine", "options": {"eps": 1e-4}},
    "caps": {},
    "temperature": 0.9,
    "run_key": "key",
    "step": 1,
    "seed": 10,
    "weights_sha256": "",
}


def check_config(content, model):
    text = content if isinstance(content, str) else json.dumps(content)
    (model / "model" / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    before = tree(model)
    # the picture does not exist: what a harmless configuration ends with, before anything is written
    with tried("config.json of a model folder"):
        code, said = run(model, "sample", "--model", "model", "--input", "none.png", "--out", "model")
        assert code == 2
        refuses_or_takes(model, before, code, said)


test_config, test_many_configs = at_both_depths(
    check_config,
    damaged(CONFIG) | cut_or_flipped(json.dumps(CONFIG)),
    [
        "",
        "[" * 100_000,
        '{"format": 1e999}',
        {**CONFIG, "temperature": float("nan")},
        {**CONFIG, "network": {**CONFIG["network"], "permutation": "learnt"}},
        {**CONFIG, "network": {**CONFIG["network"], "steps": 10**7}},
        {**CONFIG, "kind": "_encoder"},
    ],
)


def picture(name, split):
    place = {"sha256": "0" * 64, "shard": "shard-00000.bin", "offset": 0}
    return {"id": name, "split": split, "source": f"{name}.png", "height": 12, "width": 12, **place}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


MANIFEST = {
    "format": 1,
    "task": "t",
    "dataset": "set",
    "demo": True,
    "licence": "free",
    "notes": ["note"],
    "pictures": [picture("a", "train"), picture("b", "validation") | {"role": "input", "label": 3}],
}


def check_manifest(content, prepared):
    path = prepared / "data" / "prepared" / "t" / "manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    before = tree(prepared)
    with tried("manifest"):
        code, said = run(prepared, "verify")
        assert code == 1  # there is no shard, at the least
        (line,) = said.splitlines()
        assert line.startswith("fault: ") and line.isprintable() and len(line) < 700
        assert tree(prepared) == before
        try:
            manifest = read_manifest(path)
        except DataError:
            return
        # what is taken leads nowhere else
        for one in manifest.pictures:
            for name in (one.id, one.shard):
                assert (path.parent / name).resolve().parent == path.parent.resolve()


test_manifest, test_many_manifests = at_both_depths(
    check_manifest,
    damaged(MANIFEST) | cut_or_flipped(json.dumps(MANIFEST)),
    [
        {**MANIFEST, "pictures": []},
        *(
            {**MANIFEST, "pictures": [{**MANIFEST["pictures"][0], "id": name}]}
            for name in ("/etc/x", "..", "a/../../b")
        ),
    ],
)


@given(content=st.text())
def test_a_text_on_the_terminal_is_printable_and_says_the_same(content):
    from pipeline.errors import printable

    shown = printable(content)
    assert shown.isprintable()
    assert shown == content or not content.isprintable()
