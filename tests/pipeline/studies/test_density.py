"""The densities' study: its inputs, its measures against maps of known fault, its flows, and a whole tiny run."""

import csv
import json
import math

import pytest
import torch
from PIL import Image
from study_runs import run_in
from torch import nn

from models.flow.bijection import Bijection
from models.lab.residual import residual_flow
from pipeline.errors import ConfigError, DataError
from pipeline.seeds import generator
from pipeline.studies.density import measure, training
from pipeline.studies.density.figures import as_levels, as_pixels
from pipeline.studies.density.inputs import inputs
from pipeline.studies.density.study import Density
from pipeline.studies.small_pictures import small_pictures

TINY = {
    "seeds": 1, "steps": 3, "warmup": 1, "residual_steps": 1, "levels": 1, "blocks": 1, "hidden": 4,
    "residual_blocks": 1, "residual_hidden": 4, "exact_terms": 1, "batch": 8, "pictures": 4, "attack_pictures": 1,
    "attack_steps": 1, "watched": 1,
}  # fmt: skip


class Scaled(Bijection):
    """z = scale * x, whose inverse adds ``fault``; the log-determinant is right."""

    def __init__(self, scale=1.0, fault=0.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.fault = fault

    def forward(self, x, condition=None):
        return self.scale * x, self._log_det(x)

    def inverse(self, z, condition=None):
        return z / self.scale + self.fault, -self._log_det(z)

    def _log_det(self, x):
        return (self.scale.abs().log() * x[0].numel()).expand(len(x))


def pictures(count=3):
    return torch.rand(count, 1, 2, 2, generator=generator("test"))


def test_every_set_lies_in_the_range_of_pictures_and_noise_reaches_its_ends():
    found = inputs(small_pictures(), 50, {})
    assert next(iter(found)) == "test"
    for name, x in found.items():
        assert x.shape == (50, 1, 8, 8) and x.dtype == torch.float32, name
        assert float(x.min()) >= 0 and float(x.max()) <= 1, name
    assert sorted(found["rademacher"].unique().tolist()) == pytest.approx([0.01, 0.99])
    assert float(found["constant"].flatten(1).std(1).max()) == pytest.approx(0.0, abs=1e-7)
    assert float((found["gaussian"] == 0.01).float().mean()) == pytest.approx(0.312, abs=0.03)  # P(N < -0.49)


def test_inverted_pictures_have_the_opposite_levels():
    data = small_pictures()
    found = inputs(data, 20, {})
    levels = {name: (found[name] * data.levels).floor() for name in ("test", "inverted")}
    assert torch.equal(levels["test"] + levels["inverted"], torch.full_like(levels["test"], 16.0))


@torch.no_grad()
def test_a_known_fault_is_measured_as_a_norm():
    x = pictures()
    found = measure.errors_of(x, measure.reconstruct(Scaled(3.0, fault=0.25), x, -0.5))
    assert (found.mean, found.largest) == (pytest.approx(0.5), pytest.approx(0.5))  # sqrt(4 * 0.25^2)
    assert found.nonfinite == 0 and found.pictures == 3


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_an_error_that_is_not_finite_is_counted_and_left_out_of_the_mean(value):
    x = pictures(4)
    again = x + 0.25
    again[2, 0, 1, 1] = value
    found = measure.errors_of(x, again)
    assert (found.nonfinite, found.mean) == (0.25, pytest.approx(0.5))
    assert measure.worst(x, again) == 2


def test_a_chain_of_reconstructions_adds_the_fault_every_time():
    found = measure.chained(Scaled(fault=0.1), pictures(), 0.0, 3)
    assert found == pytest.approx([0.01, 0.04, 0.09], rel=1e-5)


def test_samples_of_an_exact_flow_are_reliable_and_of_a_faulty_one_are_not():
    _, good = measure.sample(Scaled(2.0), (8, 1, 2, 2), 0.0, False, generator("test"))
    assert (good.nonfinite, good.unreliable, good.visible, good.latent_nonfinite) == (0, 0, 0, 0)
    _, bad = measure.sample(Scaled(2.0, fault=0.5), (8, 1, 2, 2), 0.0, False, generator("test"))
    assert bad.visible == 1 and bad.unreliable > 0.5
    assert bad.latent_error == pytest.approx(1.0)  # the fault times the scale
    _, lost = measure.sample(Scaled(1.0, fault=math.nan), (8, 1, 2, 2), 0.0, True, generator("test"))
    assert (lost.nonfinite, lost.outside, lost.latent_error, lost.unreliable) == (1, 1, None, None)


def test_the_jacobian_of_a_scaling_is_known():
    found = measure.at_point(Scaled(3.0), pictures(1), -0.5, False)
    assert (found.condition_number, found.smallest) == (pytest.approx(1.0), pytest.approx(3.0))
    assert found.log_det == pytest.approx(4 * math.log(3.0))
    assert found.log_det_error == pytest.approx(0.0, abs=1e-12)


def test_random_log_determinants_are_right_in_the_mean():
    torch.manual_seed(0)
    flow = residual_flow(1, (4, 4), 1, 1, 4, logit=0.05)
    found = measure.at_point(flow, torch.rand(1, 1, 4, 4, generator=generator("test")), 0.0, True)
    assert found.standard_error > 0
    assert found.log_det_error < 5 * found.standard_error


def test_a_value_that_is_not_finite_is_drawn_in_its_own_colour():
    picture = torch.tensor([[[0.0, 1.0], [math.nan, math.inf]]])
    pixels = as_pixels(as_levels(picture))
    assert pixels[0].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert (pixels[1] == (0, 229, 255)).all()


def test_a_batch_depends_on_its_step_alone():
    data = small_pictures()
    feed = training.batches(data, 4, 0, False, torch.device("cpu"))
    (whole,) = list(feed(0, 3))[2]
    (resumed,) = next(iter(feed(2, 3)))
    assert torch.equal(whole, resumed)


def test_moved_pictures_keep_their_levels_and_lose_a_tenth_at_most():
    data = small_pictures()
    large = data._replace(train=torch.ones(4, 1, 20, 20, dtype=torch.uint8))
    (x,) = next(training.batches(large, 16, 0, True, torch.device("cpu"))(0, 1))
    shares = ((x * data.levels).floor() == 1).flatten(1).float().mean(1)
    assert float(shares.min()) >= 0.9**2 - 1e-6 and float(shares.max()) <= 1


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"variants": "addditive"}, ConfigError, "--variants: unknown 'addditive'; did you mean 'additive'"),
        ({"steps": 0}, ConfigError, "--steps: 0 is not a positive whole number"),
        ({"learning_rate": math.nan}, ConfigError, "--learning-rate: nan is not a finite number > 0"),
        ({"levels": 4}, ConfigError, "--levels: 4 squeezes need a side that 16 divides, not 8"),
        ({"source": "nowhere"}, DataError, "--source 'nowhere': there is no such folder"),
        ({"others": "svnh=x"}, ConfigError, "--others: unknown data set 'svnh'; did you mean 'svhn'"),
        ({"others": "svhn=nowhere"}, DataError, "--others: svhn is to be in 'nowhere', and there is no such folder"),
    ],
)
def test_a_wrong_option_is_told_in_one_line_and_nothing_written(tmp_path, options, error, told):
    with pytest.raises(error) as caught:
        run_in(tmp_path / "out", Density(**options))
    assert list(tmp_path.iterdir()) == []
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_other_sets_are_cut_to_the_pictures_size_and_channels(tmp_path):
    Image.new("RGB", (100, 60), (255, 255, 255)).save(tmp_path / "white.png")
    found = inputs(small_pictures(), 3, {"textures": tmp_path})
    assert found["textures"].shape == (3, 1, 8, 8)
    assert float(found["textures"].min()) >= 16 / 17  # the brightest level


def test_a_tiny_run_leaves_all_files_and_every_claim(tmp_path):
    page = run_in(tmp_path, Density(**TINY))
    assert {comparison.source for comparison in page.comparisons} == {"B, Table 1", "B, Fig. 4", "B, Fig. 11"}
    results = json.loads((tmp_path / "results.json").read_text())
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["additive", "affine", "modified_affine", "residual"]
    for row, trial in zip(rows, results["trials"], strict=True):
        assert float(row["test_bits_per_dim"]) == pytest.approx(trial["test_bits_per_dim"])
        assert 1.0 < trial["test_bits_per_dim"] < 8.0
        assert trial["errors"]["test"]["largest"] < 1e-4
        assert len(trial["chained"]) == measure.CHAINED
    assert page.tables[0].rows[0][0] == "additive"


def test_the_page_says_how_the_demos_sizes_were_chosen_and_of_no_others():
    from pipeline.studies.catalogue import STUDIES
    from pipeline.studies.density import page

    kind = STUDIES["density"]
    assert "chosen" in page._how_chosen(kind())[0]
    assert page._how_chosen(kind(seeds=7)) == []
