"""The bicubic against hand-computed cases, an independent computation, and its own properties."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from pipeline.feed.bicubic import imresize, resize_weights
from pipeline.feed.degradations import low_resolution

FACTORS = [Fraction(1, 2), Fraction(1, 4), Fraction(1, 8), Fraction(2, 3), 2, 4]
SIZES = [8, 13, 31, 40]


def reference(signal: np.ndarray, factor: float) -> np.ndarray:
    """One dimension, sample by sample, from the definition: no matrix, no vectors, no mirror formula."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    def sample(index: int) -> float:
        while not 0 <= index < len(signal):
            index = -index - 1 if index < 0 else 2 * len(signal) - index - 1
        return signal[index]

    stretch = min(factor, 1.0)
    values = []
    for place in range(int(np.ceil(len(signal) * factor - 1e-9))):
        centre = (place + 0.5) / factor - 0.5
        around = range(int(np.floor(centre - 2 / stretch)) - 1, int(np.ceil(centre + 2 / stretch)) + 2)
        weights = [kernel(stretch * (centre - index)) for index in around]
        values.append(sum(w * sample(i) for w, i in zip(weights, around, strict=True)) / sum(weights))
    return np.array(values)


def test_halving_an_impulse_by_hand():
    # Shrunk by two, the kernel is seen at 1/8-th steps: k(1/4), k(3/4), k(5/4), k(7/4), each halved.
    row = torch.zeros(1, 1, 1, 16, dtype=torch.float64)
    row[..., 8] = 256
    near, second, third, fourth = (
        256 * 0.5 * (1.5 / 64 - 2.5 / 16 + 1),
        256 * 0.5 * (1.5 * 27 / 64 - 2.5 * 9 / 16 + 1),
        256 * 0.5 * (-0.5 * 125 / 64 + 2.5 * 25 / 16 - 5 + 2),
        256 * 0.5 * (-0.5 * 343 / 64 + 2.5 * 49 / 16 - 7 + 2),
    )
    assert (near, second, third, fourth) == (111, 29, -9, -3)
    small = imresize(row.expand(1, 1, 16, 16) * 1.0, 0.5)[0, 0, 3]
    assert small.tolist() == [0, 0, -3, 29, 111, -9, 0, 0]


def test_uint8_is_clipped_and_rounded_half_to_even_after_each_dimension():
    # H yields 255 * (-3, 29, 111, -9) / 256, so 0, 29, 111, 0 after clipping and rounding.
    column = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    column[..., 8, 8] = 255
    small = imresize(column, 0.5)[0, 0]
    assert small[3].tolist() == [0, 0, 0, round(29 * 29 / 256), round(29 * 111 / 256), 0, 0, 0]
    assert small[4].tolist() == [0, 0, 0, round(111 * 29 / 256), round(111 * 111 / 256), 0, 0, 0]
    assert not small[[0, 1, 2, 5, 6, 7]].any()  # the products of two negative weights too: clipped in between
    # Ties: a step in the middle gives 1.5, then 2.5; both become 2.
    for low, expected in ((1, 2), (2, 2)):
        step = torch.full((1, 1, 8, 1), low, dtype=torch.uint8)
        step[:, :, 4:] = low + 1
        middle = imresize(step, Fraction(1, 8))
        assert middle.item() == expected


def exact(signal: list[int], factor: Fraction) -> list[int]:
    """One dimension of 8-bit values in exact fractions, clipped and rounded half to even, sample by sample."""

    def kernel(x: Fraction) -> Fraction:
        x = abs(x)
        if x <= 1:
            return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
        return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x <= 2 else Fraction(0)

    mirrored = [*signal, *reversed(signal)]
    values = []
    for place in range(-int(-len(signal) * factor // 1)):
        centre = (place + Fraction(1, 2)) / factor - Fraction(1, 2)
        around = range(int(centre - 2 / factor) - 2, int(centre + 2 / factor) + 3)
        weights = [kernel(factor * (centre - index)) for index in around]
        total = sum(w * mirrored[i % len(mirrored)] for w, i in zip(weights, around, strict=True)) / sum(weights)
        values.append(min(max(round(total), 0), 255))
    return values


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("shape", [(24, 32), (19, 45), (33, 8)])
def test_uint8_mode_equals_exact_fractions(scale, shape):
    picture = np.random.default_rng((scale, *shape)).integers(0, 256, shape, dtype=np.uint8)
    picture[:, ::3] = picture[:, ::3] // 128 * 255  # much that overshoots and is clipped between the two passes
    factor = Fraction(1, scale)
    rows = np.array([exact(column.tolist(), factor) for column in picture.T]).T
    expected = np.array([exact(row.tolist(), factor) for row in rows])
    found = imresize(torch.from_numpy(picture)[None, None], factor)
    assert found.dtype == torch.uint8
    assert found[0, 0].tolist() == expected.tolist()
    assert torch.equal(found, imresize(torch.from_numpy(picture)[None, None], 1 / scale))  # a float as good


def test_low_resolution_of_a_batch_is_that_of_each_picture():
    pictures = torch.randint(0, 256, (5, 3, 48, 40), dtype=torch.uint8)
    for scale in (2, 4, 8):
        batch = low_resolution(pictures, scale)
        assert batch.shape == (5, 3, 48 // scale, 40 // scale)
        for picture, small in zip(pictures, batch, strict=True):
            assert torch.equal(low_resolution(picture[None], scale)[0], small)


def test_two_roundings_differ_from_one():
    pictures = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    twice = imresize(pictures, 0.25).double()
    once = imresize(pictures.double(), 0.25).round().clamp(0, 255)
    assert 0 < (twice != once).double().mean() < 0.3
    assert (twice - once).abs().max() <= 3


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("size", SIZES)
def test_float_mode_equals_an_independent_float64_computation(size, factor):
    picture = np.random.default_rng(size).random((size, 11))
    rows = np.stack([reference(column, float(factor)) for column in picture.T], axis=1)
    expected = np.stack([reference(row, float(factor)) for row in rows])
    for dtype in (torch.float32, torch.float64):
        found = imresize(torch.from_numpy(picture).to(dtype)[None, None], factor)
        assert found.dtype == dtype
        assert found.shape[2:] == expected.shape
        assert np.abs(found[0, 0].double().numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("size", SIZES)
def test_weights_sum_to_one_and_are_symmetric(size, factor):
    weights = resize_weights(size, factor)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    if (size * factor) % 1 == 0:  # else MATLAB's grid starts at one end
        np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)


@pytest.mark.parametrize("factor", FACTORS)
def test_constants_stay(factor):
    for value in (0, 1, 127, 255):
        picture = torch.full((2, 3, 13, 24), value, dtype=torch.uint8)
        assert (imresize(picture, factor) == value).all()
        torch.testing.assert_close(imresize(picture.float(), factor).unique().mean(), torch.tensor(float(value)))


def test_gradients_flow_also_after_inference_mode_filled_the_cache():
    with torch.inference_mode():
        imresize(torch.rand(1, 1, 17, 19), 0.5)
    picture = torch.rand(1, 1, 17, 19, requires_grad=True)
    imresize(picture, 0.5).sum().backward()
    assert torch.isfinite(picture.grad).all()
    assert picture.grad.abs().sum() > 0


def test_autocast_does_not_touch_the_result():
    picture = torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = imresize(picture, 0.25)
    assert torch.equal(inside, imresize(picture, 0.25))


@pytest.mark.parametrize(
    ("images", "factor"),
    [
        (torch.zeros(3, 8, 8), 0.5),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), 0.5),
        (torch.zeros(1, 3, 8, 8), 0),
        (torch.zeros(1, 3, 8, 8), -1),
    ],
)
def test_wrong_use_is_refused(images, factor):
    with pytest.raises(ValueError, match=r"must be"):
        imresize(images, factor)


def test_low_resolution_is_on_an_eight_bit_grid():
    pictures = torch.randint(0, 256, (2, 3, 32, 40), dtype=torch.uint8)
    low = low_resolution(pictures, 4)
    assert low.shape == (2, 3, 8, 10)
    assert low.dtype == torch.float32
    assert torch.equal((low * 255).round(), imresize(pictures, 0.25).float())
    assert torch.equal(low, low_resolution(pictures.float() / 255, 4))
    with pytest.raises(ValueError, match="crop it first"):
        low_resolution(pictures, 3)
