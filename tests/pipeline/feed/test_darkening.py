"""The low-light model: as dark and as noisy as it says, and repeatable."""

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets.catalogue import DATASETS
from pipeline.feed.darkening import Camera, _decode, _encode, darken


@pytest.fixture(scope="module")
def photographs():
    demo = {picture.id: picture.content for picture in DATASETS["df2k"].demo().pictures}
    names = ("chelsea", "coffee", "astronaut", "china")
    return {name: np.asarray(Image.open(demo[name]).convert("RGB")) for name in names}


def test_srgb_decodes_to_known_values_and_back():
    np.testing.assert_allclose(_decode(np.array([0, 0.04045, 0.5, 1])), [0, 0.0031308, 0.2140411, 1], atol=1e-7)
    values = np.linspace(0, 1, 256)
    np.testing.assert_allclose(_encode(_decode(values)), values, atol=1e-7)


def test_photographs_become_as_dark_as_those_of_lol(photographs):
    for name, pixels in photographs.items():
        means = [darken(pixels, f"{name}-{n}").mean() / 255 for n in range(8)]
        assert all(0.02 < mean < 0.13 for mean in means), (name, means)
        assert 0.04 < np.mean(means) < 0.10


def test_the_name_alone_decides(photographs):
    pixels = photographs["chelsea"]
    first = darken(pixels, "one")
    assert first.dtype == np.uint8
    assert first.shape == pixels.shape
    assert np.array_equal(darken(pixels, "one"), first)
    assert not np.array_equal(darken(pixels, "two"), first)


def test_noise_is_poisson_and_gaussian(monkeypatch):
    """A flat field with the camera's numbers put in by hand: mean and variance of the linear light."""
    camera = Camera(level=0.1, balance=np.ones(3), full_well=1000.0, read_noise=5.0, tone=1.0)
    monkeypatch.setattr(Camera, "of", classmethod(lambda cls, draw: camera))
    light = _decode(darken(np.full((200, 200, 3), 200, np.uint8), "flat") / 255)
    electrons = 0.1 * 1000
    assert abs(light.mean() * 1000 - electrons) < 0.5
    # Rounding to 8 bits adds step^2 / 12; a step is 255 * d(encoded) / d(light) levels.
    slope = 1.055 / 2.4 * 0.1 ** (1 / 2.4 - 1)
    expected = electrons + 5.0**2 + (1000 / (255 * slope)) ** 2 / 12
    assert abs(light.var() * 1000**2 / expected - 1) < 0.03


def test_nothing_is_made_brighter_and_black_stays_nearly_black():
    dark = np.full((32, 32, 3), 4, np.uint8)  # linear 0.0012: darker than any level
    assert _decode(darken(dark, "dark") / 255).mean() < 2 * _decode(np.array(4 / 255))
    assert darken(np.zeros((32, 32, 3), np.uint8), "black").mean() < 8


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_wrong_pixels_are_refused(pixels):
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        darken(pixels, "x")
