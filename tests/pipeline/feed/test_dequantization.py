"""Dequantisation noise: uniform, in its own level whatever is drawn, repeatable."""

import numpy as np
import pytest
import torch

from pipeline.feed.dequantization import dequantize
from pipeline.seeds import generator


@pytest.mark.parametrize("bits", [1, 5, 8])
def test_every_value_stays_in_its_level(bits):
    pixels = torch.arange(256, dtype=torch.uint8).repeat(4000)
    found = dequantize(pixels, bits, generator("levels", bits))
    assert found.dtype == torch.float32
    assert found.min() > 0
    assert found.max() < 1
    assert torch.equal((found * 2**bits).floor().to(torch.uint8), pixels // 2 ** (8 - bits))


@pytest.mark.parametrize("bits", [5, 8])
def test_the_largest_draw_stays_below_the_next_level(bits, monkeypatch):
    monkeypatch.setattr(torch, "randint", lambda high, shape, **_: torch.full(shape, high - 1))
    found = dequantize(torch.tensor([0, 127, 255], dtype=torch.uint8), bits)
    assert (found * 2**bits).floor().tolist() == [0, 127 >> (8 - bits), 255 >> (8 - bits)]
    assert (found < 1).all()


def test_the_noise_is_uniform():
    noise = dequantize(torch.zeros(400_000, dtype=torch.uint8), 5, generator("uniform")) * 32
    counts = np.histogram(noise.numpy(), bins=20, range=(0, 1))[0]
    assert abs(counts - 20_000).max() < 5 * np.sqrt(20_000)
    assert abs(float(noise.double().mean()) - 0.5) < 5 / np.sqrt(12 * 400_000)


def test_the_generator_decides():
    pixels = torch.full((2, 3, 8, 8), 200, dtype=torch.uint8)
    first = dequantize(pixels, 8, generator("a"))
    assert first.shape == pixels.shape
    assert torch.equal(first, dequantize(pixels, 8, generator("a")))
    assert not torch.equal(first, dequantize(pixels, 8, generator("b")))
    assert len(first.unique()) > 300  # each value has its own noise


@pytest.mark.parametrize(("pixels", "bits"), [(torch.zeros(3), 8), (torch.zeros(3, dtype=torch.uint8), 9)])
def test_wrong_use_is_refused(pixels, bits):
    with pytest.raises(ValueError, match="must be"):
        dequantize(pixels, bits)
