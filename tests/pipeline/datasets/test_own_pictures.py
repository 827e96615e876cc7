"""A folder of the user's own pictures: any names, any depth, split by name or by a second folder, alone or in pairs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from source_trees import TREES, Photographs, faults, pair, prepared, save

from pipeline.config import DatasetConfig, Params
from pipeline.datasets.catalogue import DATASETS
from pipeline.datasets.check import Source, source_of
from pipeline.datasets.contract import Wanted
from pipeline.datasets.prepare import prepare, prepare_source
from pipeline.errors import ConfigError, DataError
from pipeline.feed.manifest import read_manifest
from pipeline.feed.shards import Pictures

ROOT = Path(__file__).resolve().parents[3]
ALONE, PAIRS = TREES["pictures"], TREES["pictures in pairs"]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "source"


def listing(root, paired=False, **options):
    wanted = Wanted(1 if paired else 4, options, paired)
    return DATASETS["pictures"].splits(str(root), root.parent, wanted)


def sides(found):
    return {picture.origin: picture.split for picture in found.pictures}


def many(root, count):
    """Make files that no decoder will see: listing opens none."""
    for number in range(count):
        path = root / f"roll {number % 7}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_share_is_about_that_share(root):
    many(root, 1000)
    held_out = list(sides(listing(root, validation="0.2")).values()).count("validation")
    assert 150 < held_out < 250


def test_a_picture_keeps_its_side_when_others_come_and_go(root):
    many(root, 200)
    before = sides(listing(root))
    for number in range(0, 200, 3):
        (root / f"roll {number % 7}" / f"{number}.png").unlink()
    many(root / "new", 300)
    after = sides(listing(root))
    kept = [origin for origin in after if origin in before]
    assert len(kept) == 133
    assert all(after[origin] == before[origin] for origin in kept)


def test_a_share_of_a_few_pictures_holds_out_one(root):
    for name in ("a/b", "a-b", "a_b"):
        save(root / f"{name}.png", Photographs().part(40, 40))
    assert sorted(sides(listing(root, validation="0.01")).values()) == ["train", "train", "validation"]


def test_the_two_formats_of_one_picture_are_on_one_side(root):
    many(root, 60)
    for path in list(root.rglob("*.png")):
        path.with_suffix(".jpg").touch()
    found = sides(listing(root, validation="0.5"))
    assert len(found) == 120
    assert all(found[name] == found[name.replace(".png", ".jpg")] for name in found)


def test_names_that_differ_in_a_slash_alone_stay_apart(root):
    names = ["a/b.png", "a-b.png", "a_b.png", "a b.png", "A/B.png", "ä.png", "ö.png", "-.png", "..png"]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = listing(root).pictures
    assert len({picture.id for picture in found}) == len([n for n in names if not n.startswith(".")])


def test_held_out_pictures_come_from_a_second_folder(root):
    ALONE.make(root)
    for name in ("a-b.png", "other.png"):
        save(root.parent / "held" / name, Photographs().part(45, 55))
    source = Source(DATASETS["pictures"], DatasetConfig(source=str(root)), Wanted(4, {"validation": "held"}), 32)
    path = prepare_source("task", source, root.parent)
    manifest = read_manifest(path)
    assert len(manifest.of("train")) == 7
    assert [p.id for p in manifest.of("validation")] == ["validation-a-b.png", "validation-other.png"]
    assert [p.source for p in manifest.of("validation")] == ["held/a-b.png", "held/other.png"]
    assert str(root.parent) not in path.read_text()
    Pictures(path, "validation").picture(1)


def test_a_second_folder_inside_the_first_is_not_trained_on(root):
    ALONE.make(root)
    found = listing(root, validation="source/a").pictures
    assert [picture.origin for picture in found if picture.split == "validation"] == ["a/b.png"]
    assert len(found) == 7
    assert root / "a" / "b.png" not in [picture.content for picture in found if picture.split == "train"]


def test_what_is_held_out_must_not_be_trained_on(root):
    ALONE.make(root)
    shutil.copy(root / "a-b.png", root / "IMG 0001 (2).png")  # held out by its name
    (line,) = faults(ALONE, root)
    assert "IMG 0001 (2).png (validation) and a-b.png (training) are the same picture" in line


def test_every_fault_is_told_at_once(root):
    ALONE.make(root)
    (root / "a" / "b.png").write_bytes(b"")
    save(root / "e.png", Photographs().part(20, 90))
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "up").symlink_to(root)
    lines = faults(ALONE, root)
    assert len(lines) == 3
    for words in ("a/b.png: not a picture", "e.png: 20 x 90 is smaller", "deep/er/up: a link that leads in a circle"):
        assert any(words in line for line in lines), words


def test_an_empty_folder_names_the_formats(root):
    root.mkdir()
    (root / "IMG.HEIC").touch()
    assert any(".png, .jpg" in line for line in faults(ALONE, root))


@pytest.mark.parametrize("value", ["0", "1", "-0.1", "1.5", "10", "nan", "inf", "", " "])
def test_a_share_that_is_none_is_refused(root, value):
    root.mkdir()
    with pytest.raises(ConfigError, match=r"datasets\.pictures\.options\.validation is .*above 0 and below 1"):
        listing(root, validation=value)


def test_a_second_folder_that_is_not_there_is_a_fault(root):
    ALONE.make(root)
    (line,) = [fault for fault in listing(root, validation="no/such").faults if "validation" in fault]
    assert "'no/such', and there is no such folder" in line


def test_pairs_have_equal_names_and_one_side_of_the_split(root):
    path = prepared(PAIRS, PAIRS.make(root))
    manifest = read_manifest(path)
    for split, names in (("train", ["2", "evening/street 1"]), ("validation", ["1", "d"])):
        for role, pattern in (("target", "normal/{}.bmp"), ("input", "Low/{}.png")):
            assert sorted(p.source for p in manifest.of(split, role)) == [pattern.format(name) for name in names]
        assert [p.id for p in manifest.of(split)] == [p.id for p in manifest.of(split, "input")]


def test_pairs_of_a_second_folder(root):
    PAIRS.make(root)
    held = root.parent / "held"
    pair(held / "low" / "1.png", held / "HIGH" / "1.png", Photographs())
    found = listing(root, paired=True, validation=str(held))
    assert [p.origin for p in found.pictures if p.split == "validation"] == ["held/HIGH/1.png", "held/low/1.png"]
    assert not found.faults


def test_folders_without_the_two_sides_are_told_how_pairs_lie(root):
    ALONE.make(root)
    told = listing(root, paired=True).faults
    assert any(fault.startswith("no folder low;") and "high/ or normal/" in fault for fault in told)
    assert any(fault.startswith("no folder high or normal;") for fault in told)


def test_a_side_with_one_name_twice_is_a_fault(root):
    PAIRS.make(root)
    shutil.copy(root / "Low" / "1.png", root / "Low" / "1.jpg")
    (fault,) = listing(root, paired=True).faults
    assert "Low/: 1.jpg, 1.png differ in the extension alone" in fault


def test_pairs_of_unequal_sizes_are_a_fault(root):
    PAIRS.make(root)
    save(root / "Low" / "2.png", Photographs().part(44, 60))
    assert any("44 x 60 does not match" in line for line in faults(PAIRS, root))


def test_a_low_light_task_asks_for_pairs_and_a_set_without_them_is_refused(root):
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["tasks"]["dark"] = {"kind": "low_light", "dataset": "pictures", "like": "lol"}
    raw["tasks"]["wrong"] = {"kind": "low_light", "dataset": "df2k", "like": "lol"}
    params = Params.model_validate(raw)
    roles = {picture.role for picture in source_of("dark", params).listing(root).pictures}
    assert roles == {"target", "input"}
    with pytest.raises(DataError, match="no pairs of a low-light picture and its original"):
        prepare("wrong", params, root)


def test_the_demo_of_super_resolution_has_no_pairs(root):
    found = DATASETS["pictures"].splits("demo", root, Wanted(4))
    assert {picture.role for picture in found.pictures} == {"target"}
