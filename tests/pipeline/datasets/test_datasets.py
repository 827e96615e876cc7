"""Every data set from the folders that people own goes through ``prepare`` to batches."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from source_trees import TREES, Photographs, dump_python2, faults, prepared, save

from pipeline.config import DatasetConfig
from pipeline.datasets.catalogue import DATASETS
from pipeline.datasets.check import Source, check_sources
from pipeline.datasets.contract import Wanted
from pipeline.errors import ConfigError, DataError
from pipeline.feed.loading import CropLoader
from pipeline.feed.manifest import read_manifest
from pipeline.feed.shards import Pictures
from pipeline.feed.sides import open_pairs

ROOT = Path(__file__).resolve().parents[3]
PAIRS = [name for name, tree in TREES.items() if tree.pairs and tree.of_files]
ANY = ("textures", "pictures")  # any number of pictures is a complete set
CROP, BATCH = 32, 4


@pytest.fixture
def root(tmp_path):
    return tmp_path / "source"


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
    hashes = [hashlib.sha256(pictures.picture(index).tobytes()).hexdigest() for index in range(len(pictures))]
    assert hashes == [picture.sha256 for picture in read_manifest(path).of(split)]
    if not tree.pairs:
        batch = CropLoader(pictures, CROP, BATCH, 1, True, True).batch(0)
        assert batch.shape == (BATCH, 3, CROP, CROP)
        assert float(batch.float().std()) > 5
        return
    target, given = CropLoader(open_pairs(path, split, tree.scale), CROP, BATCH, 1, True, True).paired_batch(0)
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


@pytest.mark.parametrize("name", [name for name, tree in TREES.items() if tree.data_set not in ANY])
def test_an_empty_folder_says_what_belongs_into_it(name, root):
    root.mkdir()
    lines = faults(TREES[name], root, allow_partial=False)
    assert any("missing" in line for line in lines)
    assert any("no picture for validation" in line for line in lines)


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
    with pytest.raises(DataError) as told:
        check_sources([tree.source(root)], root)
    _, line = str(told.value).split("\n")
    assert "low01.png, low1.png have the same number" in line


def test_more_pairs_than_published_are_a_fault(root):
    tree = TREES["lol"]
    tree.make(root)
    folder = root / "LOLdataset" / "eval15"
    for number in range(100, 115):
        for side in ("low", "high"):
            save(folder / side / f"{number}.png", Photographs().part(40, 60))
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


def test_faces_of_one_person_on_both_sides_are_counted(root):
    tree = TREES["celeba"]
    tree.make(root)
    said = "split by number: held-out pictures whose person is in training too: "
    assert f"{said}unknown, identity_CelebA.txt is not there" in tree_listing(tree, root, Wanted(8)).notes
    (root / "Anno").mkdir()
    persons = {"000001": 5, "000002": 7, "182340": 7, "182341": 5, "202599": 9}
    lines = [f"{number}.jpg {person}\n" for number, person in persons.items()]
    (root / "Anno" / "identity_CelebA.txt").write_text("".join(lines))
    assert f"{said}1 of 2" in tree_listing(tree, root, Wanted(8)).notes
    (root / "Anno" / "identity_CelebA.txt").write_text("".join(lines[:-1]))
    assert f"{said}1 of 2, 1 are not in identity_CelebA.txt" in tree_listing(tree, root, Wanted(8)).notes
    (root / "list_eval_partition.txt").write_text("")
    assert not [note for note in tree_listing(tree, root, Wanted(8, {"split": "official"})).notes if said in note]


def test_the_sample_faces_say_that_persons_are_unknown(root):
    try:
        notes = DATASETS["celeba"].splits("demo", root).notes
    except DataError as error:
        pytest.skip(f"no package index within reach: {error}")
    assert "split by number: held-out pictures whose person is in training too: unknown" in notes


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


@pytest.mark.parametrize("name", DATASETS)
def test_the_document_names_every_data_set(name):
    text = (ROOT / "docs" / "data.md").read_text()
    assert f"`{name}`" in text
    options = DATASETS[name].options
    assert all(f"`{key}: {value}`" in text for key, option in options.items() for value in option.examples)


def check_data(*arguments, cwd):
    command = [sys.executable, "-m", "pipeline.cli", "check-data", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)


def test_the_command_line_looks_at_a_folder_without_storing_it(root):
    tree = TREES["lol"]
    tree.make(root)
    done = check_data("--dataset", "lol", "--source", "source", "--allow-partial", cwd=root.parent)
    assert done.returncode == 0
    assert "lol from source: 3 for training, 2 held out, in pairs, 0 faults" in done.stdout
    assert "left out: our485: 482 of 485 pairs" in done.stdout
    (root / tree.victim).write_bytes(b"")
    done = check_data("--dataset", "lol", "--source", "source", cwd=root.parent)
    assert done.returncode == 2
    assert "error: datasets.lol.source 'source': 3 faults" in done.stderr
    assert tree.victim in done.stderr
    assert "Traceback" not in done.stderr
    assert not (root.parent / "data").exists()


def test_the_command_line_names_the_nearest_data_set(tmp_path):
    done = check_data("--dataset", "velol", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown data set 'velol'; did you mean 've_lol'?")


def test_a_folder_without_its_data_set_is_refused(tmp_path):
    done = check_data("--source", "pictures", cwd=tmp_path)
    assert done.returncode == 2
    assert "go with --dataset NAME" in done.stderr


def test_the_command_line_checks_the_tasks_of_params(tmp_path):
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["datasets"]["df2k"] = {"source": "pictures"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    done = check_data("--task", "df2k_x4", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "datasets.df2k.source in params.yaml is 'pictures'" in done.stderr


def test_a_source_that_two_tasks_share_is_looked_at_once(root, capfd):
    tree = TREES["df2k"]
    tree.make(root)
    check_sources([tree.source(root, crop=32), tree.source(root, crop=16)], root)
    assert capfd.readouterr().out.count("df2k from") == 1
    with pytest.raises(DataError, match="training crop of 48 x 48"):
        check_sources([tree.source(root, crop=32), tree.source(root, crop=48)], root)


def test_a_folder_of_one_split_goes_with_a_list_of_the_other(root):
    tree = TREES["df2k lists"]
    tree.make(root)
    save(root / "DIV2K_train_HR" / "0001.png", Photographs().part(40, 40))
    listing = DATASETS["df2k"].splits(str(root), root)
    assert [p.id for p in listing.pictures] == ["div2k-0001", "DIV2K-va-000000", "DIV2K-va-000001"]
    assert any("folder Flickr2K_HR" in line for line in listing.missing)  # the folder hides the list, not what it lacks
