"""Small pictures: what they are, that noise stays in its cell, and that bits per dimension are those of counting."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.errors import DataError
from pipeline.seeds import generator
from pipeline.studies.small_pictures import bits_per_dim, dequantize, small_pictures
from pipeline.studies.sources import check_source


def test_digits_are_all_of_scikit_learns_and_no_picture_stands_on_both_sides():
    found = small_pictures()
    assert found.shape == (1, 8, 8)
    assert (len(found.train), len(found.test)) == (1500, 297)
    assert int(found.train.max()) == found.levels - 1 == 16
    assert set(found.test_labels.tolist()) == set(range(10))
    published = load_digits()
    both, labels = torch.cat([found.train, found.test]).flatten(1), torch.cat([found.train_labels, found.test_labels])
    rows = sorted((*row, label) for row, label in zip(both.tolist(), labels.tolist(), strict=True))
    assert rows == sorted((*map(int, row), int(n)) for row, n in zip(published.data, published.target, strict=True))
    known = {picture.numpy().tobytes() for picture in found.train}
    assert not known & {picture.numpy().tobytes() for picture in found.test}


def test_noise_leaves_every_value_in_its_own_cell():
    pictures = torch.arange(17, dtype=torch.uint8).repeat(64, 1)[:, None, None]
    x = dequantize(pictures, 17, generator("test"))
    assert float(x.min()) >= 0 and float(x.max()) < 1
    assert torch.equal((x * 17).floor().byte(), pictures)


def test_bits_per_dim_of_a_uniform_density_are_those_of_equally_likely_levels():
    assert float(bits_per_dim(torch.zeros(1), 64, 17)) == pytest.approx(math.log2(17))
    assert float(bits_per_dim(torch.zeros(1), 3072, 256)) == pytest.approx(8.0)


def test_bits_per_dim_of_a_density_of_steps_are_the_entropy_of_its_levels():
    # P = 1/2, 1/4, 1/4: entropy 1.5 bits. The density in a cell of width 1/3 is 3 P.
    shares = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    levels = torch.tensor([0, 0, 1, 2])
    x = dequantize(levels[:, None, None, None], 3, generator("test"))
    density = 3 * shares[(x.flatten() * 3).long()]
    assert float(bits_per_dim(density.log(), 1, 3).mean()) == pytest.approx(1.5)


def test_a_source_that_is_not_there_is_told():
    with pytest.raises(DataError, match="--source 'nowhere': there is no such folder"):
        check_source("nowhere")


def cifar(folder):
    for split in ("train", "test"):
        place = folder / split / "frog"
        place.mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / "1.png")
    return pixels


def test_a_cifar_folder_is_read_as_it_lies(tmp_path):
    pixels = cifar(tmp_path)
    found = small_pictures(str(tmp_path))
    assert found.shape == (3, 32, 32) and found.levels == 256
    assert found.test_labels.tolist() == [6]  # frog
    assert np.array_equal(found.test[0].permute(1, 2, 0).numpy(), pixels)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    cifar(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "test" / "frog" / "small.png")
    with pytest.raises(DataError, match=r"small\.png: 8 x 8 pixels instead of 32 x 32"):
        small_pictures(str(tmp_path))
