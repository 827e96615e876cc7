"""Values become colours, what is not finite has its own, and tiles stand where they belong."""

import numpy as np
import pytest
import torch
from matplotlib import colormaps

from pipeline.stability.drawing import NOT_FINITE, Tile, enlarged, heat, legend, marked, tiled


def colour(share):
    return tuple(int(part) for part in colormaps["magma"](share, bytes=True)[:3])


def colours(pixels):
    return {tuple(int(part) for part in pixel) for pixel in pixels.reshape(-1, 3)}


def test_the_ends_of_the_scale_are_the_ends_of_the_colours():
    pixels = heat(torch.tensor([[-2.0, 3.0], [-9.0, 99.0], [-torch.inf, 0.5]]), -2.0, 3.0, 2)
    ends = [colour(0.0), colour(1.0)]
    assert [tuple(pixel) for pixel in pixels.reshape(-1, 3)] == [*ends, *ends, ends[0], colour(0.5)]


def test_what_is_not_finite_has_a_colour_that_no_value_has():
    pixels = heat(torch.tensor([[torch.nan, torch.inf]]), 0.0, 1.0, 2)
    assert colours(pixels) == {NOT_FINITE}
    assert NOT_FINITE not in colours(heat(torch.linspace(0, 1, 1000)[None], 0.0, 1.0, 1000))


@pytest.mark.parametrize(("value", "shown"), [(5.0, colour(1.0)), (torch.nan, NOT_FINITE)])
def test_a_single_pixel_of_a_large_map_is_not_lost(value, shown):
    values = torch.zeros(100, 200)
    values[37, 111] = value
    pixels = heat(values, 0.0, 5.0, 20)
    assert pixels.shape == (10, 20, 3) and tuple(pixels[3, 11]) == tuple(shown)
    assert int((pixels != np.array(colour(0.0))).any(-1).sum()) == 1


def test_small_maps_are_enlarged_by_a_whole_number():
    assert heat(torch.zeros(2, 3), 0.0, 1.0, 10).shape == (6, 9, 3)
    assert np.array_equal(enlarged(np.arange(12, dtype=np.uint8).reshape(2, 2, 3), 5)[2:, 2:4, 0], [[9, 9], [9, 9]])


def test_a_picture_shows_where_it_is_not_finite():
    image = torch.full((3, 1, 4), 0.5)
    image[0, 0, 1], image[2, 0, 2], image[:, 0, 3] = torch.nan, -torch.inf, 7.0
    grey, white = (128, 128, 128), (255, 255, 255)
    assert [tuple(pixel) for pixel in marked(image)[0]] == [grey, NOT_FINITE, NOT_FINITE, white]


def test_a_group_begins_a_row_and_what_is_below_stands_below():
    def filled(height, width, level):
        return np.full((height, width, 3), (level, 200, 0), np.uint8)  # no grey, as letters are

    def tile(level):
        return Tile(("one", "two"), filled(20, 120, level))

    below = filled(6, 40, 77)
    pixels = tiled([[tile(1), tile(2), tile(3)], [tile(4)]], 2, below)
    tops = {level: np.argwhere((pixels == (level, 200, 0)).all(-1)).min(0) for level in (1, 2, 3, 4, 77)}
    assert tops[1][0] == tops[2][0] < tops[3][0] < tops[4][0] < tops[77][0]
    assert tops[1][1] == tops[3][1] == tops[4][1] < tops[2][1]
    assert all(int((pixels == (level, 200, 0)).all(-1).sum()) == 20 * 120 for level in (1, 2, 3, 4))


def test_the_legend_has_all_colours_and_that_of_what_is_not_finite():
    assert {colour(share) for share in np.linspace(0.0, 1.0, 240)} | {NOT_FINITE} <= colours(legend(-4, 12, "log10"))
