"""Impossible command lines, and files of state and results that something else wrote: one clear line, nothing made."""

import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_commands import CLASSES, commands, make_places
from hypothesis import strategies as st
from malformed import PARAMS_TEXT, SCALARS, VALUES, at_both_depths, damaged, is_one_clear_line, run, tree, tried
from PIL import Image
from small_flow import small_flow

from pipeline import timings
from pipeline.errors import CheckpointError, TrackingError, printable
from pipeline.model_folder import save_model
from pipeline.tracking.journal import Journal
from pipeline.tracking.store import tracking_uri
from pipeline.training.checkpoints import CheckpointStore

ROOT = Path(__file__).resolve().parents[3]
CPU = torch.device("cpu")
_SECONDS = 10.0


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Return a project with a model, pictures, and places that are no such thing."""
    folder = tmp_path_factory.mktemp("places") / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text(PARAMS_TEXT, encoding="utf-8")
    shutil.copy(ROOT / "dvc.yaml", folder)
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(picture, "png")
    make_places(folder, picture.getvalue())
    flow = small_flow()
    save_model(folder / "model", flow.network, flow.config)
    return folder


def refused(what):
    def check(content, places):
        before, began = tree(places.parent), time.monotonic()
        with tried(what):
            code, said = run(places, *content)
            assert code == 2
            *warnings, error = said.splitlines(keepends=True)
            assert all(line.startswith("warning: ") for line in warnings), ascii(said)
            is_one_clear_line(error)
            assert tree(places.parent) == before
            assert time.monotonic() - began < _SECONDS

    return check


test_model_folders, test_many_model_folders = at_both_depths(
    refused("model folders"), commands(CLASSES["model folders"]), few=20, many=200
)
test_places_to_write_to, test_many_places_to_write_to = at_both_depths(
    refused("--out"),
    commands(CLASSES["--out"]),
    [["sample", "--model", "model", "--input", "a.png", "--out", "/"], ["import", "--weights", "file", "--out", "/"]],
    few=20,
    many=200,
)
test_pictures, test_many_pictures = at_both_depths(refused("pictures"), commands(CLASSES["pictures"]), few=20, many=200)
test_options, test_many_options = at_both_depths(
    refused("options"),
    commands(CLASSES["options"]),
    [
        ["sample", "--model", "model", "--input", "a.png", "--out", "out", "--draws=--"],
        ["sample", "--model", "model", "--input", "a.png", "--out", "out", f"--draws={10**30}"],
        ["ui", "--port=--"],
        ["ui", "--host", "x" * 3000],
        ["ratings", "export", "--task", "df2k_x4", "--out", "out", "--what", "x" * 3000],
    ],
    few=40,
    many=600,
)

EVENTS = [
    {"kind": "metrics", "time": 1, "step": 1, "values": {"train/nll": 1.0}},
    {"kind": "artifact", "time": 2, "name": "a", "path": "a", "fingerprint": "f", "step": 0},
    {"kind": "status", "time": 3, "value": "RUNNING"},
]


def check_state(content, tmp_path_factory):
    """Whatever stands in files of state, what reads them goes on."""
    folder = tmp_path_factory.getbasetemp() / "state"
    (folder / ".runs").mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else "".join(f"{json.dumps(one)}\n" for one in content)
    lines = text.encode("utf-8", "surrogatepass")
    for name in ("tracking.jsonl", "tracking_sent.json", ".runs/timings.jsonl"):
        (folder / name).write_bytes(lines)
    with tried("journal and timings"):
        journal = Journal(folder)
        journal.append("tags", values={"a": "b"})
        *_, (offset, last) = journal.after(0)
        assert last["values"] == {"a": "b"}
        journal.acknowledge("sqlite:///x", "run", offset)
        assert Journal(folder).sent("sqlite:///x", "run") == offset
        assert all(isinstance(seconds, float) for _, seconds in timings.since(folder, 0))


test_state, test_many_states = at_both_depths(
    check_state,
    damaged(EVENTS) | st.text(max_size=80) | st.lists(VALUES, max_size=3),
    ["{}\n", "[1]\n", "[" * 9999, '{"kind": [], "time": 1}\n', '{"stage": "train", "seconds": null}\n'],
    few=30,
    many=300,
)


def check_checkpoint(content, tmp_path_factory):
    """A checkpoint of which any bytes differ is refused as a whole; as the only one, it is begun at the start."""
    at, what, cut = content
    folder = tmp_path_factory.mktemp("checkpoint")
    store = CheckpointStore(folder)
    store.save({"step": 1, "weights": torch.arange(6.0)})
    path = folder / "checkpoint.pt"
    whole = path.read_bytes()
    place = int(at * (len(whole) - 1))
    bad = whole[:place] if cut else whole[:place] + what + whole[place + len(what) :]
    path.write_bytes(bad)
    with tried("checkpoints"):
        if bad == whole:
            assert store.load(CPU)["step"] == 1
            return
        try:
            assert store.load(CPU) is None
        except CheckpointError as error:
            assert "can be read" in str(error)


test_checkpoints, test_many_checkpoints = at_both_depths(
    check_checkpoint,
    st.tuples(st.floats(0.0, 1.0), st.binary(min_size=1, max_size=9), st.booleans()),
    few=20,
    many=200,
)


def check_address(content):
    with tried("MLflow's address"):
        try:
            uri = tracking_uri(Path("/nowhere"), content)
        except TrackingError as error:
            assert printable(str(error)) == str(error) or not content.isprintable()
            assert len(str(error)) < 1000
        else:
            assert uri.partition(":")[0].partition("+")[0] in content.lower()


test_addresses, test_many_addresses = at_both_depths(
    check_address,
    st.sampled_from(["http://", "https://", "sqlite:///", "file:", "", "ftp://", "//", "http://[", "sqlite:"]).flatmap(
        lambda head: st.text(max_size=30).map(lambda tail: head + tail)
    ),
    ["http://[::1", "http://[::1]:x", "sqlite:///", "sqlite://", "x" * 3000, "http://a:b@[", "file:///tmp/x"],
    few=20,
    many=200,
)


def check_results(content, tmp_path_factory):
    """``summary`` on results that something else wrote: it prints them or says which file is damaged."""
    folder = tmp_path_factory.getbasetemp() / "results"
    made = folder / "artifacts" / "df2k_x4" / "seed10" / "affine"
    if not folder.exists():
        made.mkdir(parents=True)
        (folder / "params.yaml").write_text(PARAMS_TEXT, encoding="utf-8")
    name, damage = content
    path = made / name
    path.parent.mkdir(exist_ok=True)
    text = damage if isinstance(damage, str) else json.dumps(damage)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    before = tree(folder)
    try:
        with tried("damaged artifacts"):
            code, said = run(folder, "summary")
            if code:
                assert code == 2
                is_one_clear_line(said)
            assert tree(folder) == before
    finally:
        path.unlink()


HEAD = {"profile": "smoke", "task": "df2k_x4", "variant": "affine", "run_key": "key"}
NUMBERS = {"psnr": 20.0, "lpips": None}
RESULTS = {
    "training/summary.json": {**HEAD, "nll": 1.0, "minutes": 0.1, "parameters": 9, "steps": 2, "collapsed": False},
    "samples/samples.json": {**HEAD, "temperature": 0.9, "pictures": [{"id": "cat-1", "draws": [{"file": "a.png"}]}]},
    "evaluation/metrics.json": {
        **HEAD,
        **{"pictures": 1, "draws": 1, "metrics": NUMBERS, "baseline": NUMBERS, "reasons": {"lpips": "no network"}},
    },
    "stability/summary.json": {
        **HEAD,
        "analyses": {"bad_pixels": {"largest_stress": 1.0}},
        "reasons": {"bad_pixels.largest_stress": "why"},
        "verdict": {"level": "steady"},
    },
}


@st.composite
def results(draw):
    """Return the name of a stage's file, and what stands in it: its content damaged, or nothing of the kind."""
    name = draw(st.sampled_from(list(RESULTS)))
    return name, draw(damaged(RESULTS[name]) | st.text(max_size=40) | VALUES | SCALARS)


def test_undamaged_results_are_taken(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS_TEXT, encoding="utf-8")
    for name, content in RESULTS.items():
        path = tmp_path / "artifacts" / "df2k_x4" / "seed10" / "affine" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    assert run(tmp_path, "summary") == (0, "")


test_results, test_many_results = at_both_depths(
    check_results,
    results(),
    [(name, content) for name in RESULTS for content in (True, [], {}, "[" * 9999)],
    few=30,
    many=300,
)
