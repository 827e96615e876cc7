"""Crops depend on (seed, step, rank) alone, cover every picture, and are augmented as promised."""

import threading
from collections import Counter

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError, DataError
from pipeline.feed.augment import Augmentation
from pipeline.feed.loading import CropLoader, validation_crops
from pipeline.feed.manifest import Manifest
from pipeline.feed.shards import Pictures, ShardWriter

SIZES = [(40, 64), (32, 33), (97, 70), (35, 128)]
CROP = 32
FITTING = [1 * 2, 1, 3 * 2, 1 * 4]  # crops side by side, by hand


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Picture n holds: channel 0 = n, channel 1 = row, channel 2 = column."""
    folder = tmp_path_factory.mktemp("prepared")
    writer = ShardWriter(folder / ".partial", [str(size) for size in SIZES])
    for number, (height, width) in enumerate(SIZES):
        rows, columns = np.mgrid[:height, :width]
        pixels = np.stack([np.full_like(rows, number), rows, columns], axis=-1).astype(np.uint8)
        writer.add(pixels, "", id=f"p{number}", split="train", source="", role="target", label=None)
    manifest = Manifest("task", "set", True, "", [], [w.picture for w in writer.finish()])
    return Pictures(writer.publish(manifest, folder / "task"), "train")


def loader(pictures, batch=4, seed=1, rank=0, world_size=1, augment=True):
    return CropLoader(pictures, CROP, batch, seed, augment, augment, rank, world_size)


def test_a_batch_depends_on_seed_and_step_alone(pictures):
    straight = loader(pictures)
    batches = [straight.batch(step) for step in range(12)]
    assert batches[0].shape == (4, 3, CROP, CROP)
    assert batches[0].dtype == torch.uint8
    backwards = loader(pictures)
    for step in reversed(range(12)):
        assert torch.equal(backwards.batch(step), batches[step])
    assert not torch.equal(loader(pictures, seed=2).batch(0), batches[0])
    assert len({batch.numpy().tobytes() for batch in batches}) == 12


@pytest.mark.parametrize("world_size", [2, 4])
def test_workers_together_make_the_batch_of_one(pictures, world_size):
    workers = [loader(pictures, rank=rank, world_size=world_size) for rank in range(world_size)]
    for step in (0, 3, 7):
        parts = torch.stack([worker.batch(step) for worker in workers], dim=1)
        assert torch.equal(parts.flatten(0, 1), loader(pictures).batch(step))


def test_a_batch_that_cannot_be_shared_is_refused(pictures):
    with pytest.raises(ConfigError, match=r"training\.batch 4 .* 3 workers"):
        loader(pictures, world_size=3)


def test_an_epoch_holds_every_picture_by_its_area(pictures):
    one = loader(pictures, batch=1)
    assert one.epoch_length == sum(FITTING)
    orders = []
    for epoch in range(3):
        steps = range(epoch * one.epoch_length, (epoch + 1) * one.epoch_length)
        orders.append([int(one.batch(step)[0, 0, 0, 0]) for step in steps])
        assert Counter(orders[-1]) == dict(enumerate(FITTING))
    assert orders[0] != orders[1] != orders[2]


def test_crops_lie_everywhere_in_the_picture(pictures):
    one = loader(pictures, batch=1, augment=False)
    corners = {picture: set() for picture in range(len(SIZES))}
    for step in range(1500):
        number, top, left = one.batch(step)[0, :, 0, 0].tolist()
        corners[number].add((top, left))
    assert {top for top, _ in corners[0]} == set(range(40 - CROP + 1))
    assert {left for _, left in corners[0]} == set(range(64 - CROP + 1))
    assert corners[1] == {(0, 0), (0, 1)}


def test_a_batch_may_span_two_epochs(pictures):
    wide, single = loader(pictures, batch=8), loader(pictures, batch=1)
    step = single.epoch_length // 8
    expected = torch.cat([single.batch(step * 8 + j) for j in range(8)])
    assert torch.equal(wide.batch(step), expected)


def test_batches_continue_anywhere_and_leave_no_thread(pictures):
    one = loader(pictures)
    assert all(torch.equal(batch, one.batch(step)) for step, batch in enumerate(loader(pictures).batches(5, 11), 5))
    for number, _ in enumerate(loader(pictures).batches(0, 10**9)):
        if number == 2:
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "crops"]
    assert list(loader(pictures).batches(3, 3)) == []


def test_an_error_in_the_thread_reaches_the_consumer(pictures, monkeypatch):
    broken = loader(pictures)
    real = CropLoader.batch

    def batch(self, step):
        if step == 2:
            raise DataError("the disk is gone")
        return real(self, step)

    monkeypatch.setattr(CropLoader, "batch", batch)
    seen = []
    with pytest.raises(DataError, match="the disk is gone"):
        seen.extend(broken.batches(0, 5))
    assert len(seen) == 2


def test_a_picture_smaller_than_the_crop_is_named(pictures):
    with pytest.raises(DataError, match=r"'p0' of 40 x 64 .* 48 x 48"):
        CropLoader(pictures, 48, 1, 0, True, True)


def dihedral(picture):
    return {
        (flip, turn): np.rot90(picture[:, ::-1] if flip else picture, turn).tobytes()
        for flip in (False, True)
        for turn in range(4)
    }


@pytest.mark.parametrize(
    ("flips", "rotations", "expected"),
    [
        (False, False, {(False, 0)}),
        (True, False, {(False, 0), (True, 0)}),
        (False, True, {(False, 0), (False, 1), (False, 3)}),
        (True, True, {(flip, turn) for flip in (False, True) for turn in (0, 1, 3)}),
    ],
)
def test_flips_and_turns_are_independent_and_equally_likely(flips, rotations, expected):
    picture = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    by_bytes = {content: name for name, content in dihedral(picture).items()}
    augment = Augmentation(flips, rotations)
    count = 1200
    drawn = Counter(by_bytes[augment((7, 0, place), picture)[0].tobytes()] for place in range(count))
    assert set(drawn) == expected
    share = count / len(expected)
    assert all(abs(found - share) < 5 * np.sqrt(share) for found in drawn.values())


def test_both_sides_of_a_pair_get_the_same_geometry():
    small = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    augment = Augmentation(True, True)
    seen = set()
    for place in range(40):
        first, second = augment((7, 0, place), small, large)
        assert np.array_equal(first.repeat(2, axis=0).repeat(2, axis=1), second)
        assert np.array_equal(augment((7, 0, place), small)[0], first)
        seen.add(first.tobytes())
    assert len(seen) == 6


def test_validation_crops_do_not_overlap_where_they_fit(pictures):
    crops = validation_crops(pictures, 32, 4, 8)
    names = [name for name, _ in crops]
    assert names == [f"p{n}-{k}" for n, count in ((0, 4), (1, 2), (2, 4), (3, 4)) for k in range(1, count + 1)]
    covered = {(pixel[1], pixel[2]) for name, crop in crops if name.startswith("p2") for pixel in crop.reshape(-1, 3)}
    assert len(covered) == 4 * 32 * 32
    again = validation_crops(pictures, 32, 4, 8)
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(crops, again, strict=True))


def test_one_validation_crop_is_the_largest_centred_multiple(pictures):
    crops = dict(validation_crops(pictures, 1000, 1, 16))
    assert {name: crop.shape[:2] for name, crop in crops.items()} == {
        "p0": (32, 64), "p1": (32, 32), "p2": (96, 64), "p3": (32, 128),
    }  # fmt: skip
    assert crops["p0"][0, 0].tolist() == [0, 4, 0]
    assert crops["p2"][0, 0].tolist() == [2, 0, 3]


def test_validation_crops_that_cannot_be_are_refused(pictures):
    with pytest.raises(ConfigError, match="validation_crop 8 is smaller than 16"):
        validation_crops(pictures, 8, 1, 16)
    with pytest.raises(DataError, match="'p1' of 32 x 33"):
        validation_crops(pictures, 64, 1, 40)
