"""Sources that mean harm do none, and get one clear line each."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from source_trees import TREES, Photographs, code_that_leaves, dump, dump_python2, faults, prepared, save

from pipeline.datasets.catalogue import DATASETS
from pipeline.errors import DataError
from pipeline.feed.manifest import read_manifest

OF_FILES = [name for name, tree in TREES.items() if tree.of_files]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "source"


class Odd:
    """Something that a pickle may name and a data set never holds."""


def laughs():
    """Return 2^60 empty lists in a few bytes: each list holds another one twice."""
    inner = []
    for _ in range(60):
        inner = [inner, inner]
    return inner


# What is written into a published list or batch, and words of the line that tells it. {mark} must never appear.
PICKLES = {
    "code": (lambda mark: [code_that_leaves(mark)], "asks for posix.system, which is not run"),
    "class": (lambda mark: [Odd()], "which is not run"),
    "objects": (lambda mark: [np.array([code_that_leaves(mark)], dtype=object)], "which is not run"),
    "odd array": (lambda mark: [np.array([Path], dtype=object)], "which is not run"),
    "laughs": (lambda mark: laughs(), "not a list of arrays"),
    "no arrays": (lambda mark: ["text", 3], "not a list of arrays"),
    "not a list": (lambda mark: 7, "not a list of arrays"),
    "floats": (lambda mark: [np.zeros((40, 40, 3))] * 4, "(40, 40, 3), float64, where (H, W, 3) uint8"),
    "flat": (lambda mark: [np.zeros(9, np.uint8)] * 4, "an array of shape (9,), uint8"),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_list_that_holds_anything_else_is_refused_and_not_run(kind, root, tmp_path):
    tree = TREES["df2k lists"]
    tree.make(root)
    make, words = PICKLES[kind]
    dump(root / tree.victim, make(tmp_path / "mark"))
    lines = faults(tree, root)
    assert any(words in line for line in lines)
    assert not (tmp_path / "mark").exists()


# Bytes of a pickle that no pickler writes.
FORGED = {
    "set attributes of the reader": b"\x80\x04cnumpy\nndarray\nN}\x8c\x04evilK\x01s\x86b.",
    "call the array": b"\x80\x04cnumpy\nndarray\n)R.",
    "huge": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "newline in a name": b"\x80\x04\x8c\x05os\n\x1b[\x8c\x06system\x93.",
    "registry": b"\x80\x04\x82\x01.",
    "persistent": b"\x80\x04Pid\n.",
    "short array": b"\x80\x04]cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x05K\x05\x86cnumpy\ndtype\n"
    b"\x8c\x02u1\x85R\x89C\x01atba.",
    "a list in itself": b"\x80\x04]\x94h\x00a.",
    "cut": b"\x80\x04]",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("name", ["df2k lists", "cifar10"])
def test_a_forged_pickle_gets_one_line(name, kind, root):
    tree = TREES[name]
    tree.make(root)
    (root / tree.victim).write_bytes(FORGED[kind])
    own = [line for line in faults(tree, root) if line.strip().startswith(tree.victim)]
    assert len(own) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda mark: {b"data": code_that_leaves(mark), b"labels": [1]}, "which is not run"),
        (lambda mark: {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "'labels' must be 2 numbers"),
        (lambda mark: {b"data": np.zeros((1, 3072), np.uint8), b"labels": [11]}, "numbers from 0 to 9"),
        (lambda mark: {b"data": np.zeros((1, 3071), np.uint8), b"labels": [1]}, "(N, 3072) uint8"),
        (lambda mark: [1, 2], "(N, 3072) uint8"),
    ],
)
def test_a_batch_that_is_none_is_refused(content, words, root, tmp_path):
    tree = TREES["cifar10"]
    tree.make(root)
    dump_python2(root / tree.victim, content(tmp_path / "mark"))
    (line,) = faults(tree, root)
    assert words in line
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", ["truncated", "text", "another size", "no labels"])
def test_a_matlab_file_that_is_none_is_refused(kind, root):
    from scipy.io import savemat

    tree = TREES["svhn"]
    tree.make(root)
    path = root / tree.victim
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "text":
        path.write_text("Not found" * 50)
    elif kind == "another size":
        savemat(path, {"X": np.zeros((28, 28, 1, 5), np.uint8), "y": np.ones((5, 1))})
    else:
        savemat(path, {"X": np.zeros((32, 32, 3, 5), np.uint8)})
    lines = faults(tree, root)
    assert lines[0].strip().startswith(f"{tree.victim}: ")
    assert len(lines) == 2  # and no picture for validation


HOSTILE_NAMES = [
    'it\'s "quoted".png',
    "two\nlines.png",
    "\x1b[31mred.png",
    "<script>alert(1)</script>".replace("/", ""),
]


@pytest.mark.parametrize("hostile", HOSTILE_NAMES)
@pytest.mark.parametrize("name", ["df2k", "celeba crops", "lol", "cifar10 classes", "textures", "pictures"])
def test_a_strange_file_name_does_no_harm(name, hostile, root):
    """It is refused in one printable line, left out as no part of the set, or taken under a safe id."""
    tree = TREES[name]
    tree.make(root)
    hostile = hostile if hostile.endswith(".png") else f"{hostile}.png"
    save(root / Path(tree.victim).parent / hostile, Photographs().part(40, 63))
    try:
        manifest = read_manifest(prepared(tree, root))
    except DataError:
        faults(tree, root)
    else:
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", picture.id) for picture in manifest.pictures)
        assert all(note.isprintable() for note in manifest.notes)
    assert not list(root.parent.glob("*red*"))


def test_a_circle_of_links_is_walked_once(root):
    tree = TREES["textures"]
    tree.make(root)
    (root / "images" / "again").symlink_to(root)
    (root / "images" / "woven" / "self").symlink_to("self")
    (line,) = faults(tree, root)
    assert "images/again: a link that leads in a circle" in line


def test_a_link_to_another_folder_is_followed(root):
    tree = TREES["textures"]
    tree.make(root)
    save(root.parent / "elsewhere" / "picture.png", Photographs().part(44, 44))
    (root / "linked").symlink_to(root.parent / "elsewhere")
    assert "linked-picture.png" in [p.id for p in read_manifest(prepared(tree, root)).pictures]


def test_an_archive_is_not_opened(root):
    root.mkdir()
    archive = root / "DIV2K.zip"
    archive.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="unpack an archive yourself"):
        DATASETS["df2k"].splits(str(archive), root)
