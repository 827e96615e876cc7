"""Large pictures are restored in tiles: like the whole picture, in any tiling, and small ones not at all."""

import functools

import pytest
import torch
from PIL import Image
from small_flow import small_flow

from models.flow.transforms import Affine
from pipeline.inference import sampling, tiling
from pipeline.inference.canvas import EightBit
from pipeline.inference.memory_need import bytes_per_pixel
from pipeline.inference.restore import restore_file
from pipeline.inference.sampling import LatentBand, draw_images, latent_rows, latents
from pipeline.inference.tiling import TOLERANCE, Cut, Restorer
from pipeline.kinds import KINDS
from pipeline.model_folder import save_model
from pipeline.pictures.eight_bit import merged_statistics, to_uint8, value_statistics

FREE = 10**12
SIZES = {"encoder": {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}, "steps": 1, "hidden": 4}
LOW_LIGHT = {**SIZES, "levels": 3, "noise_steps": [], "permutation": "learned"}


def lively(network):
    """Move weights away from where they start, at which a flow's nets say nothing."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 4 and "actnorm" not in name:
                parameter.add_(0.03 * torch.randn_like(parameter))
    return network.eval()


@pytest.fixture
def network():
    return lively(small_flow().network)


@pytest.fixture
def memory(monkeypatch):
    """Return what sets how much memory there is, as (what may be used, what usually is)."""

    def set_to(most, usual):
        monkeypatch.setattr(tiling, "_memory", lambda device: (most, usual))

    return set_to


def together(images):
    return torch.stack(list(images))


def photograph(astronaut, rows=70, columns=90):
    return torch.from_numpy(astronaut[:rows, :columns]).permute(2, 0, 1)[None].float() / 255


def test_a_picture_in_tiles_of_any_size_is_that_of_no_tiles(network, astronaut):
    seen = photograph(astronaut)
    whole = together(draw_images(network, seen, 2, 0.9, 5, "p"))
    assert whole.std() > 0.1
    for tile in (7, 16, 40, 70):
        tiles = together(Restorer(network, tile).draw(seen, 2, 0.9, 5, "p"))
        assert not torch.equal(tiles, whole)  # it was cut: rounding differs
        assert (tiles.clamp(0, 1) - whole.clamp(0, 1)).abs().max() < TOLERANCE


def test_low_light_sees_the_histogram_of_the_whole_picture_in_every_tile(astronaut):
    kind = KINDS["low_light"]
    torch.manual_seed(0)
    network = lively(kind.network(LOW_LIGHT, 1, transform=Affine()))
    dark = (photograph(astronaut, 90, 83) * 40).to(torch.uint8)
    dark[..., 40:] //= 4  # tiles of the right side have another histogram
    seen = kind.from_picture(dark)
    (whole,) = draw_images(network, seen, 1, 0.5, 5, "p")
    (tiles,) = Restorer(network, 24).draw(seen, 1, 0.5, 5, "p")
    assert (tiles.clamp(0, 1) - whole.clamp(0, 1)).abs().max() < TOLERANCE
    (cut_first,) = draw_images(network, kind.from_picture(dark[..., 56:]), 1, 0.5, 5, "p")
    assert (cut_first[..., 8:] - whole[..., 64:]).abs().max() > 2 * TOLERANCE  # what this test would see


def test_draws_held_side_by_side_or_not_are_the_same(network, astronaut, monkeypatch):
    seen = photograph(astronaut, 40, 40)
    monkeypatch.setattr(tiling, "_HELD_BYTES", 1)
    alone = together(Restorer(network, 16).draw(seen, 3, 0.9, 5, "p"))
    monkeypatch.undo()
    assert torch.equal(alone, together(Restorer(network, 16).draw(seen, 3, 0.9, 5, "p")))


@pytest.mark.parametrize("shape", [(3, 37, 41), (5, 64, 16), (1, 2, 3)])
def test_some_rows_of_latents_are_those_of_all_of_them(shape, monkeypatch):
    whole = latents(shape, range(2, 3), 0.7, 5, "p")
    for piece in (16, 160, 1 << 22):  # what ends in the middle of a channel, of a row, of torch's groups of 16, or not
        monkeypatch.setattr(sampling, "_PIECE", piece)
        for rows in (slice(0, shape[1]), slice(1, 2), slice(shape[1] // 2, shape[1])):
            assert torch.equal(latent_rows(shape, rows, 2, 0.7, 5, "p"), whole[:, :, rows])


def test_a_band_of_latents_holds_no_more_than_it_may_and_is_drawn_few_times(monkeypatch):
    shape, drawn = (3, 40, 10), []
    whole = latents(shape, range(1), 1.0, 5, "p")

    def counted(shape, rows, *others):
        drawn.append(rows)
        return latent_rows(shape, rows, *others)

    monkeypatch.setattr(sampling, "latent_rows", counted)
    band = LatentBand(shape, 0, 1.0, 5, "p", most=4 * 3 * 10 * 16)
    for start in (0, 0, 4, 8, 12, 16, 20, 30):
        wanted = slice(start, start + 8)
        assert torch.equal(band.rows(wanted), whole[:, :, wanted])
    assert drawn == [slice(0, 16), slice(12, 28), slice(30, 40)]
    assert torch.equal(band.rows(slice(0, 40)), whole)  # more than it may hold, but asked for


def test_a_draw_in_8_bits_is_what_its_floats_make(network, astronaut):
    seen = photograph(astronaut, 39, 45) * 2.5  # some values beyond what is sane
    for tile in (16, None):
        restorer = Restorer(network, tile)
        images = restorer.draw(seen, 2, 0.9, 5, "p")
        canvases = restorer.paint(functools.partial(EightBit, "floor"), seen, 2, 0.9, 5, "p")
        for image, canvas in zip(images, canvases, strict=True):
            assert (canvas.pixels == to_uint8(image, "floor")).all()
            assert canvas.statistics == value_statistics(image) and canvas.statistics["outside_values"] > 0


def test_a_halo_that_grows_finds_latents_that_are_no_longer_held(network, astronaut, monkeypatch):
    seen = photograph(astronaut)
    (whole,) = draw_images(network, seen, 1, 0.9, 5, "p")
    monkeypatch.setattr(tiling, "HALO", 1)
    monkeypatch.setattr(tiling, "_HELD_BYTES", 1)
    (tiles,) = Restorer(network, 30).draw(seen, 1, 0.9, 5, "p")
    assert (tiles.clamp(0, 1) - whole.clamp(0, 1)).abs().max() < 2 * TOLERANCE


def test_statistics_of_parts_without_a_finite_value_are_merged():
    parts = [torch.full((3, 2, 2), float("nan")), torch.full((3, 2, 2), 7.0)]
    merged = merged_statistics(value_statistics(part) for part in parts)
    assert merged == value_statistics(torch.cat(parts))
    assert merged_statistics([value_statistics(parts[0])]) == value_statistics(parts[0])


def test_a_picture_that_fits_is_restored_whole_bit_for_bit(network, astronaut, memory, capsys):
    seen = photograph(astronaut)
    memory(FREE, FREE)
    whole = together(draw_images(network, seen, 2, 0.9, 5, "p"))
    assert torch.equal(together(Restorer(network).draw(seen, 2, 0.9, 5, "p")), whole)
    assert torch.equal(together(Restorer(network, 90).draw(seen, 2, 0.9, 5, "p")), whole)
    assert capsys.readouterr().out == ""


def test_one_that_does_not_is_cut_into_tiles_that_fit_which_is_said_once(network, astronaut, memory, capsys):
    seen = photograph(astronaut)
    each = bytes_per_pixel(network, seen)
    side = 60
    memory(FREE, int(each * (4 * side) ** 2) + 1)
    sizes, share = [], network.share
    network.share = lambda part: sizes.append(tuple(part.shape[2:])) or share(part)
    restorer = Restorer(network)
    (tiles,) = restorer.draw(seen, 1, 0.9, 5, "p")
    list(restorer.draw(seen, 1, 0.0, 5, "p"))
    assert len(sizes) > 2 and max(max(size) for size in sizes) <= side
    del network.share
    (whole,) = draw_images(network, seen, 1, 0.9, 5, "p")
    assert (tiles.clamp(0, 1) - whole.clamp(0, 1)).abs().max() < TOLERANCE
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith("a picture of 70 x 90 is restored in ")


def test_the_halo_grows_until_no_seam_is_seen(network, astronaut, monkeypatch, capsys):
    monkeypatch.setattr(tiling, "HALO", 1)
    seen = photograph(astronaut)
    (whole,) = draw_images(network, seen, 1, 0.9, 5, "p")
    (tiles,) = Restorer(network, 30).draw(seen, 1, 0.9, 5, "p")
    assert (tiles.clamp(0, 1) - whole.clamp(0, 1)).abs().max() < 2 * TOLERANCE
    assert "tiles differ by" in capsys.readouterr().out
    monkeypatch.setattr(tiling, "WIDEST", 1)
    list(Restorer(network, 30).draw(seen, 1, 0.9, 5, "p"))
    assert "no wider halo is to be had" in capsys.readouterr().err


def test_tiles_leave_no_less_than_four_halos_if_memory_allows():
    assert Cut(2, side=100, largest=1000).core == 100 - 2 * 16
    assert Cut(2, side=40, largest=1000).core == 4 * 16
    assert Cut(2, side=40, largest=61).core == 28
    assert Cut(2, side=10, largest=10).core == 2
    assert Cut(8, core=20).core == 24


def test_the_count_of_bytes_is_that_of_the_tensors_alive():
    class Doubling(torch.nn.Module):
        scale = multiple = 1

        def latent_shape(self, height, width):
            return 1, height, width

        def share(self, seen):
            return torch.cat([seen, seen], 1)  # 2 x 4 bytes for each pixel, kept

        def inverse(self, z, condition):
            passing = (z + 1).square()  # 2 x 4 at once, the first is left behind; then 1 more
            return passing + condition[:, :1], None

    assert bytes_per_pixel(Doubling(), torch.zeros(1, 1, 5, 5)) == 4 * (2 + 2)


def test_sample_takes_the_size_of_tiles(network, astronaut, tmp_path, capsys):
    flow = small_flow()
    save_model(tmp_path / "model", network, flow.config)
    Image.fromarray(astronaut[:40, :60]).save(tmp_path / "cat.png")
    (whole,) = restore_file(tmp_path / "model", tmp_path / "cat.png", tmp_path / "whole", 1, 0.9, 10)
    (tiles,) = restore_file(tmp_path / "model", tmp_path / "cat.png", tmp_path / "tiles", 1, 0.9, 10, tile=16)
    assert "12 tiles of 16 x 16" in capsys.readouterr().out
    one, other = (torch.tensor(list(Image.open(file).tobytes())) for file in (whole, tiles))
    assert (one - other).abs().max() <= 1
