"""Manifest and shards: what is written is read back, what is damaged is told, what was interrupted goes on."""

import hashlib
import json
import pickle

import numpy as np
import psutil
import pytest

from pipeline.errors import DataError
from pipeline.feed.manifest import Manifest, Picture, read_manifest, write_manifest
from pipeline.feed.shards import Pictures, ShardWriter

SHARD_BYTES = 4000  # a few pictures each


@pytest.fixture
def drawn():
    generator = np.random.default_rng(3)
    return [generator.integers(0, 256, (16 + n, 20 + 2 * n, 3), dtype=np.uint8) for n in range(10)]


def store(folder, drawn, stop=None):
    """Write ``drawn`` (only up to number ``stop``, as if killed there); return the manifest's path or None."""
    writer = ShardWriter(folder / ".partial", [f"file {n}" for n in range(len(drawn))], SHARD_BYTES)
    for number in range(len(writer.written), len(drawn)):
        if number == stop:
            return None
        split = "validation" if number in (4, 7) else "train"
        writer.add(drawn[number], "", id=f"p{number}", split=split, source=f"p{number}.png", role="target", label=None)
    pictures = [w.picture for w in writer.finish()]
    manifest = Manifest("task", "set", True, "free", ["a note"], pictures)
    return writer.publish(manifest, folder / "task")


def content(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_round_trip(tmp_path, drawn):
    path = store(tmp_path, drawn)
    manifest = read_manifest(path)
    assert (manifest.task, manifest.demo, manifest.notes) == ("task", True, ["a note"])
    assert len({picture.shard for picture in manifest.pictures}) > 1
    train = Pictures(path, "train")
    assert train.ids == [f"p{n}" for n in range(10) if n not in (4, 7)]
    for index, name in enumerate(train.ids):
        expected = drawn[int(name[1:])]
        assert train.shape(index) == expected.shape[:2]
        assert np.array_equal(train.picture(index), expected)
        assert np.array_equal(train.crop(index, 3, 5, 7, 9), expected[3:10, 5:14])
    assert Pictures(path, "validation").ids == ["p4", "p7"]
    assert [path.name for path in tmp_path.iterdir()] == ["task"]  # nothing of the work is left


def test_the_manifest_is_as_documented(tmp_path, drawn):
    content = json.loads(store(tmp_path, drawn).read_text())
    assert set(content) == {"format", "task", "dataset", "demo", "licence", "notes", "pictures"}
    keys = {"id", "split", "source", "height", "width", "sha256", "shard", "offset"}
    assert all(set(entry) == keys for entry in content["pictures"])
    first = content["pictures"][0]
    assert first["sha256"] == hashlib.sha256(drawn[0].tobytes()).hexdigest()


def test_a_crop_is_a_copy_and_a_picture_cannot_be_written(tmp_path, drawn):
    pictures = Pictures(store(tmp_path, drawn), "train")
    crop = pictures.crop(0, 0, 0, 4, 4)
    crop[:] = 0
    assert type(crop) is np.ndarray
    assert np.array_equal(pictures.picture(0), drawn[0])
    with pytest.raises(ValueError, match="read-only"):
        pictures.picture(0)[0, 0, 0] = 1
    for box in ((-1, 0, 4, 4), (0, 0, 17, 4), (0, 17, 4, 4)):
        with pytest.raises(ValueError, match="leaves picture 'p0'"):
            pictures.crop(0, *box)


def test_pickling_carries_no_pixels(tmp_path, drawn):
    pictures = Pictures(store(tmp_path, drawn), "train")
    pictures.picture(0)
    pickled = pickle.dumps(pictures)
    assert len(pickled) < sum(picture.nbytes for picture in drawn) / 4
    assert np.array_equal(pickle.loads(pickled).picture(0), drawn[0])


@pytest.mark.parametrize("stop", range(10))
def test_an_interrupted_preparation_ends_byte_identical(tmp_path, drawn, stop):
    whole = content(store(tmp_path / "whole", drawn).parent)
    assert store(tmp_path / "cut", drawn, stop=stop) is None
    assert not (tmp_path / "cut" / "task").exists()
    assert content(store(tmp_path / "cut", drawn).parent) == whole


def test_what_was_whole_is_not_written_again_unless_the_source_changed(tmp_path, drawn):
    store(tmp_path, drawn, stop=8)
    same = [f"file {n}" for n in range(10)]
    done = len(ShardWriter(tmp_path / ".partial", same, SHARD_BYTES).written)
    assert 4 <= done <= 8
    changed = [*same[: done - 1], "another", *same[done:]]
    assert len(ShardWriter(tmp_path / ".partial", changed, SHARD_BYTES).written) < done


def test_a_short_last_shard_is_not_kept_when_more_pictures_follow(tmp_path, drawn):
    writer = ShardWriter(tmp_path / ".partial", ["file 0"], SHARD_BYTES)
    writer.add(drawn[0], "", id="p0", split="train", source="p0.png", role="target", label=None)
    writer.finish()
    assert len(ShardWriter(tmp_path / ".partial", ["file 0"], SHARD_BYTES).written) == 1
    assert ShardWriter(tmp_path / ".partial", ["file 0", "file 1"], SHARD_BYTES).written == []


def test_damage_is_told_with_the_command_that_mends_it(tmp_path, drawn):
    path = store(tmp_path, drawn)
    shard = path.with_name("shard-00000.bin")
    whole = shard.read_bytes()
    again = "dvc repro -f prepare@task"

    shard.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=again):
        Pictures(path, "train")
    shard.unlink()
    with pytest.raises(DataError, match=again):
        Pictures(path, "train")

    path.write_text("{")
    with pytest.raises(DataError, match=again):
        Pictures(path, "train")
    path.unlink()
    with pytest.raises(DataError, match=rf"not prepared.*{again}"):
        Pictures(path, "train")


@pytest.mark.parametrize(
    "change", [{"shard": "../../secret"}, {"shard": "/etc/passwd"}, {"split": "test"}, {"height": -3}]
)
def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path, change):
    entry = {
        "id": "p",
        "split": "train",
        "source": "p",
        "height": 1,
        "width": 1,
        "sha256": "",
        "shard": "s",
        "offset": 0,
    }
    path = write_manifest(
        tmp_path / "task" / "manifest.json", Manifest("t", "s", True, "", [], [Picture(**entry | change)])
    )
    with pytest.raises(DataError, match="damaged"):
        read_manifest(path)


def test_pairs_share_an_id_and_labels_are_kept(tmp_path, drawn):
    writer = ShardWriter(tmp_path / ".partial", ["a", "b"])
    for role, pixels in (("input", drawn[0]), ("target", drawn[1])):
        writer.add(pixels, "", id="scene", split="train", source=f"{role}.png", role=role, label=7)
    manifest = Manifest("task", "set", False, "", [], [w.picture for w in writer.finish()])
    path = writer.publish(manifest, tmp_path / "task")
    assert read_manifest(path) == manifest
    for role, pixels in (("input", drawn[0]), ("target", drawn[1])):
        side = Pictures(path, "train", role)
        assert (side.ids, side.labels) == (["scene"], [7])
        assert np.array_equal(side.picture(0), pixels)
    with pytest.raises(DataError, match="holds no picture of split 'validation'"):
        Pictures(path, "validation")


GIBI = 2**30


@pytest.fixture
def vast(tmp_path):
    """4 GiB of pictures of 10,000 x 10,000 in one shard, holes all of it but for one row."""
    side, count = 10_000, 14
    size = 3 * side**2
    shard = tmp_path / "task" / "shard-00000.bin"
    shard.parent.mkdir()
    with shard.open("wb") as file:
        file.truncate(count * size)
        file.seek(5 * size + 3 * (6000 * side + 7000))
        file.write(bytes(range(1, 193)))
    if shard.stat().st_blocks * 512 > GIBI:
        pytest.skip("the file system has no sparse files")
    pictures = [
        Picture(f"p{n}", "train", "", side, side, "", shard.name, n * size, "target", None) for n in range(count)
    ]
    return write_manifest(shard.with_name("manifest.json"), Manifest("task", "set", True, "", [], pictures))


def resident():
    return psutil.Process().memory_info().rss


def test_a_crop_of_a_vast_shard_touches_its_own_rows(vast):
    pictures = Pictures(vast, "train")
    before = resident()
    for number in range(40):
        pictures.crop(number % len(pictures), 100 * number, 4000, 64, 64)
    assert np.array_equal(pictures.crop(5, 6000, 7000, 1, 64).ravel(), range(1, 193))
    rows = 40 * 64 * 10_000 * 3
    assert resident() - before < rows + 50e6 < 0.04 * 4 * GIBI


def test_memory_stays_bounded_however_much_is_read(vast, monkeypatch):
    monkeypatch.setattr("pipeline.feed.shards._MAPPED_BYTES", 20e6)
    pictures = Pictures(vast, "train")
    held = pictures.picture(5)
    before = resident()
    grown = []
    for number in range(120):
        pictures.crop(number % len(pictures), 75 * number, 0, 64, 10_000)
        grown.append(resident() - before)
    assert max(grown) < 70e6 < 120 * 64 * 10_000 * 3
    assert held[6000, 7000].tolist() == [1, 2, 3]  # a view that somebody holds stays valid


def entry(path, **changes):
    """Change the first picture of the manifest at ``path``."""
    content = json.loads(path.read_text())
    content["pictures"][0].update(changes)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "name", ["/etc/x", "../up", "a/b", "a/../../b", "..", ".hidden", "", "-rf", "a\nb", "a\x1b[2J", "x" * 201, 7, None]
)
def test_an_id_that_could_lead_out_of_its_folder_is_refused(tmp_path, drawn, name):
    path = store(tmp_path, drawn)
    entry(path, id=name)
    with pytest.raises(DataError, match="is damaged") as caught:
        read_manifest(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "changes", [{"height": "8"}, {"width": 1.5}, {"offset": True}, {"label": "cat"}, {"sha256": 1}, {"id": "p1"}]
)
def test_a_picture_of_wrong_types_or_twice_there_is_damage(tmp_path, drawn, changes):
    path = store(tmp_path, drawn)
    entry(path, **changes)
    with pytest.raises(DataError, match="is damaged"):
        read_manifest(path)


@pytest.mark.parametrize("way", ["picture", "crop"])
def test_a_flipped_bit_in_a_shard_is_told_when_its_picture_is_first_read(tmp_path, drawn, way):
    path = store(tmp_path, drawn)
    train = Pictures(path, "train")
    place = read_manifest(path).pictures[1]  # p1
    shard = path.parent / place.shard
    content = bytearray(shard.read_bytes())
    content[place.offset + place.bytes - 1] ^= 1
    shard.write_bytes(content)
    arguments = (0, 0, 4, 4) if way == "crop" else ()
    getattr(train, way)(0, *arguments)  # its neighbour is whole
    with pytest.raises(DataError, match=r"picture 'p1' are not those that were written .*make it again with"):
        getattr(train, way)(1, *arguments)
