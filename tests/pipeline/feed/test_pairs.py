"""Both sides of a pair show the same place, flipped and turned alike, whoever loads them."""

from collections import Counter

import cv2
import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError, DataError
from pipeline.feed.equalization import Equalized, equalize
from pipeline.feed.loading import CropLoader, validation_crops, validation_pairs
from pipeline.feed.manifest import Manifest
from pipeline.feed.shards import Pictures, ShardWriter
from pipeline.feed.sides import Pairs, open_pairs

CROP, BATCH = 32, 8
SIZES = [(64, 72), (40, 96), (75, 51), (48, 48)]


def marked(number, height, width, step=1):
    """Return a picture whose pixels say which picture it is and where on the finest grid they lie."""
    rows, columns = np.mgrid[:height, :width] * step
    return np.stack([np.full_like(rows, number), rows, columns], axis=-1).astype(np.uint8)


def prepared(folder, sides):
    """Store ``sides`` {role: {id: pixels}} as a preparation would; return the manifest's path."""
    rows = [(role, name, pixels) for role, side in sides.items() for name, pixels in side.items()]
    writer = ShardWriter(folder / ".partial", [f"{role} {name}" for role, name, _ in rows])
    for role, name, pixels in rows:
        writer.add(pixels, "", id=name, split="train", source="", role=role, label=None)
    manifest = Manifest("task", "set", True, "", [], [w.picture for w in writer.finish()])
    return writer.publish(manifest, folder / "task")


def pairs_of(folder, targets, inputs, scale):
    path = prepared(folder, {"target": targets, "input": inputs})
    return Pairs(Pictures(path, "train"), [Pictures(path, "train", "input")], scale)


@pytest.fixture(scope="module", params=[1, 2, 4, 8])
def pairs(request, tmp_path_factory):
    """Marked pictures; inputs are stored in another order, and sizes are no multiples of 2, 4 or 8."""
    scale = request.param
    targets = {f"p{n}": marked(n, *size) for n, size in enumerate(SIZES)}
    inputs = {f"p{n}": marked(n, -(-h // scale), -(-w // scale), scale) for n, (h, w) in enumerate(SIZES)}
    return pairs_of(tmp_path_factory.mktemp("pairs"), targets, dict(reversed(inputs.items())), scale)


def loader(pairs, **changes):
    return CropLoader(pairs, **{"crop": CROP, "batch": BATCH, "seed": 3, "flips": True, "rotations": True, **changes})


def test_all_sides_show_the_same_place_in_the_same_geometry(pairs):
    one, scale = loader(pairs), pairs.scale
    orientations = Counter()
    for step in range(12):
        target, given = one.paired_batch(step)
        assert target.shape == (BATCH, 3, CROP, CROP)
        assert given.shape == (BATCH, 3, CROP // scale, CROP // scale)
        assert target.dtype == given.dtype == torch.uint8
        # An input's pixel bears the place of its corner: where the target's block of scale x scale begins.
        blocks = target.unfold(2, scale, scale).unfold(3, scale, scale)
        assert torch.equal(blocks.amin(dim=(4, 5)), given)
        corners = target[:, 1:, [0, 0, -1], [0, -1, 0]].int()  # row and column at three corners
        orientations.update(map(str, (corners[..., 1:] - corners[..., :1]).sign().tolist()))
    assert len(orientations) == 6  # flipped or not, turned by 0, 90 and 270 degrees: the comparison saw them all


def test_crops_of_all_pictures_and_places_occur(pairs):
    one = loader(pairs, batch=1, flips=False, rotations=False)
    places = {number: set() for number in range(len(SIZES))}
    for step in range(2000):
        number, top, left = one.batch(step)[0, :, 0, 0].tolist()
        places[number].add((top, left))
    for number, found in places.items():
        height, width = (range(0, side - CROP + 1, pairs.scale) for side in SIZES[number])
        assert {top for top, _ in found} == set(height)
        assert {left for _, left in found} == set(width)


def test_ranks_share_without_loss_or_repetition(pairs):
    whole = loader(pairs)
    for world_size in (2, 4, 8):
        ranks = [loader(pairs, rank=rank, world_size=world_size) for rank in range(world_size)]
        for step in (0, 5, 11):
            shares = zip(*(rank.paired_batch(step) for rank in ranks), strict=True)
            together = [torch.stack(share, dim=1).flatten(0, 1) for share in shares]
            assert all(torch.equal(*sides) for sides in zip(together, whole.paired_batch(step), strict=True))


def test_an_epoch_over_two_ranks_holds_every_picture_as_often_as_it_should(pairs):
    length = loader(pairs).epoch_length
    seen = Counter()
    for rank in (0, 1):
        one = loader(pairs, batch=2, rank=rank, world_size=2)
        seen.update(int(one.batch(step)[0, 0, 0, 0]) for step in range(length))  # two epochs
    assert seen == {n: 2 * (h // CROP) * (w // CROP) for n, (h, w) in enumerate(SIZES)}


def test_a_resumed_loader_goes_on_where_the_other_stopped(pairs):
    straight = list(loader(pairs).paired_batches(0, 10))
    resumed = [*loader(pairs).paired_batches(0, 4), *loader(pairs).paired_batches(4, 10)]
    for step, (batch, again) in enumerate(zip(straight, resumed, strict=True)):
        assert all(torch.equal(*sides) for sides in zip(batch, again, strict=True)), step


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_draw_what_this_process_draws(pairs, workers):
    class Steps(torch.utils.data.Dataset):
        def __init__(self, one):
            self.one = one

        def __len__(self):
            return 6

        def __getitem__(self, step):
            return self.one.paired_batch(step)

    made = torch.utils.data.DataLoader(Steps(loader(pairs)), batch_size=None, num_workers=workers)
    for step, batch in enumerate(made):
        assert all(torch.equal(*sides) for sides in zip(batch, loader(pairs).paired_batch(step), strict=True))


def test_the_input_changes_nothing_in_the_target(tmp_path):
    targets = {f"p{n}": marked(n, *size) for n, size in enumerate(SIZES)}
    paired = pairs_of(tmp_path, targets, targets, 1)
    for step in range(3):
        assert torch.equal(loader(paired).batch(step), loader(paired.target).batch(step))


def test_validation_pairs_lie_on_the_grid_and_match(pairs):
    scale = pairs.scale
    found = validation_pairs(pairs, 32, 4, 8)
    assert [name for name, _ in found] == [name for name, _ in validation_crops(pairs.target, 32, 4, 8)]
    for _, (target, given) in found:
        assert np.array_equal(target[::scale, ::scale], given)


def test_pairs_that_do_not_fit_are_refused(tmp_path):
    def faulty(name, inputs, scale):
        targets = {f"p{n}": marked(n, *size) for n, size in enumerate(SIZES)}
        return pairs_of(tmp_path / name, targets, inputs, scale)

    same = {f"p{n}": marked(n, *size) for n, size in enumerate(SIZES)}
    with pytest.raises(DataError, match=r"without an input of the same name: 'p1'"):
        faulty("lacking", {name: pixels for name, pixels in same.items() if name != "p1"}, 1)
    with pytest.raises(DataError, match=r"scale 1: 'p2': 75 x 51 and 51 x 75"):
        faulty("turned", {**same, "p2": same["p2"].transpose(1, 0, 2)}, 1)
    with pytest.raises(DataError, match=r"scale 4: 'p0': 64 x 72 and 64 x 72.* and .*'p3'"):
        faulty("large", same, 4)


def test_a_crop_off_the_grid_is_refused(tmp_path):
    small = {f"p{n}": marked(n, h // 4, w // 4) for n, (h, w) in enumerate(SIZES)}
    pairs = pairs_of(tmp_path, {f"p{n}": marked(n, *size) for n, size in enumerate(SIZES)}, small, 4)
    assert pairs.shape(2) == (72, 48)  # what the rounded-down input covers of 75 x 51
    with pytest.raises(ValueError, match="not on the grid of scale 4"):
        pairs.crop(0, 2, 0, 32, 32)
    with pytest.raises(ConfigError, match=r"data\.crop 30 is not a multiple of the scale 4"):
        loader(pairs, crop=30)


@pytest.fixture
def dark():
    generator = np.random.default_rng(0)
    return {f"p{n}": generator.poisson(n + 3, (*size, 3)).astype(np.uint8) for n, size in enumerate(SIZES)}


def test_the_equalized_side_is_cropped_from_the_whole_picture(tmp_path, dark):
    path = prepared(tmp_path, {"target": {name: pixels[::-1] for name, pixels in dark.items()}, "input": dark})
    low = Pictures(path, "train", "input")
    pairs = Pairs(Pictures(path, "train"), [low, Equalized(low)])
    for index, pixels in enumerate(dark.values()):
        whole = np.stack([cv2.equalizeHist(pixels[..., c].copy()) for c in range(3)], axis=-1)
        assert np.array_equal(equalize(pixels), whole)
        _, crop, equalized = pairs.crop(index, 5, 7, 30, 40)
        assert np.array_equal(crop, pixels[5:35, 7:47])
        assert np.array_equal(equalized, whole[5:35, 7:47])
        assert not np.array_equal(equalized, equalize(crop))  # which is what a crop alone would give
    batch = loader(pairs).paired_batch(0)
    assert [side.shape for side in batch] == [(BATCH, 3, CROP, CROP)] * 3


def test_opening_takes_the_inputs_that_there_are(tmp_path, dark):
    small = {name: pixels[::4, ::4] for name, pixels in dark.items()}
    alone = prepared(tmp_path / "alone", {"target": dark})
    low = prepared(tmp_path / "low", {"target": dark, "input": dark})
    published = prepared(tmp_path / "published", {"target": dark, "input": small})
    assert len(open_pairs(alone, "train", 4).crop(0, 3, 5, 32, 32)) == 1
    assert [side.shape for side in open_pairs(published, "train", 4).crop(0, 4, 8, 32, 32)] == [(32, 32, 3), (8, 8, 3)]
    sides = open_pairs(low, "train", equalized=True).crop(0, 4, 8, 32, 32)
    assert np.array_equal(sides[2], equalize(dark["p0"])[4:36, 8:40])
    with pytest.raises(DataError, match="no picture of split 'train', role 'input'"):
        open_pairs(alone, "train", equalized=True)


def test_equalization_reads_a_whole_picture_once(tmp_path, dark, monkeypatch):
    low = Pictures(prepared(tmp_path, {"target": dark, "input": dark}), "train", "input")
    read = []
    real = Pictures.crop
    monkeypatch.setattr(Pictures, "crop", lambda self, *box: read.append(box[3] * box[4]) or real(self, *box))
    side = Equalized(low)
    for _ in range(5):
        side.crop(0, 1, 1, 8, 8)
    assert sorted(read) == [64] * 5 + [64 * 72]


def test_a_flat_channel_stays_as_opencv_leaves_it():
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert np.array_equal(equalize(flat), flat)
