"""The regression: its pairs, its loss, measures of a map of known fault, and a whole run."""

import csv
import math

import pytest
import torch
from PIL import Image
from study_runs import run_in

from models.flow.bijection import Bijection
from pipeline.errors import ConfigError
from pipeline.studies.catalogue import STUDIES
from pipeline.studies.regression import problem, training
from pipeline.studies.regression.study import Regression

TINY = {"iterations": 4, "points": 20, "steps": 2, "width": 4, "measured": 2}


class Squeezing(Bijection):
    """(x1, x2) -> (factor x1, x2), whose inverse misses x1 = 1 by ``error``."""

    def __init__(self, factor, error=0.0):
        super().__init__()
        self.factor, self.error = factor, error

    def forward(self, x, condition=None):
        z = torch.cat([self.factor * x[:, :1], x[:, 1:]], 1)
        return z, torch.full((len(x),), math.log(self.factor), dtype=x.dtype)

    def inverse(self, z, condition=None):
        x = torch.cat([z[:, :1] / self.factor, z[:, 1:]], 1)
        return x + torch.where(x[:, :1] == 1, self.error, 0.0), z.new_zeros(len(z))


POINTS = torch.tensor([[0.0, 1.0], [1.0, 2.0], [-2.0, 0.5]])[:, :, None, None]


def test_the_pairs_are_the_texts():
    """y1 ~ N(0, 1e-24), y2 = x2 (eqs. 13 and 14)."""
    x, y = problem.pairs(10_000)
    assert torch.equal(y[:, 1], x[:, 1])
    assert float(y[:, 0].std()) == pytest.approx(1e-12, rel=0.05)
    assert abs(float((x[:, 0] * y[:, 0]).mean())) < 5e-14
    assert float(x.std()) == pytest.approx(1, rel=0.05)


def test_measures_of_a_map_that_is_known():
    flow = Squeezing(2.0**-20, error=0.5)
    found = training.measure(flow, POINTS, torch.zeros_like(POINTS))
    squared = [(2.0**-20 * a) ** 2 + b**2 for a, b in POINTS.flatten(1).tolist()]
    assert found["mse"] == pytest.approx(sum(squared) / 6, rel=1e-6)
    assert found["error_largest"] == pytest.approx(0.5 * math.sqrt(2))
    assert found["error_mean"] == pytest.approx(0.5 * math.sqrt(2) / 3)
    assert found["lost"] == pytest.approx(1 / 3)
    assert (found["sigma_max"], found["sigma_min"]) == pytest.approx((1.0, 2.0**-20))
    assert found["condition"] == pytest.approx(2.0**20)


def test_what_is_not_finite_is_no_number_and_the_worst_point():
    found = training.measure(Squeezing(0.5, error=math.inf), POINTS, POINTS)
    assert found["error_largest"] is None and found["error_mean"] is None
    assert found["lost"] == pytest.approx(1 / 3)
    assert found["condition"] == pytest.approx(2.0)


@pytest.mark.parametrize("coefficient", [0.0, 0.1])
def test_the_loss_is_mse_and_the_flows_own(coefficient):
    found = training.Regression(Squeezing(0.5), coefficient)(POINTS, torch.zeros_like(POINTS))
    z = POINTS.flatten(1) * torch.tensor([0.5, 1.0])
    nll = math.log(2 * math.pi) + 0.5 * z.square().sum(1).mean() - math.log(0.5)
    assert float(found) == pytest.approx(float(z.square().mean() + coefficient * nll), rel=1e-6)


def test_the_released_scale_cannot_vanish():
    assert training.SCALES["paper"].derivative_bounds() == (0.0, 1.0)
    assert training.SCALES["released"].derivative_bounds() == pytest.approx((1e-6, 1.0 + 1e-6))


def test_a_whole_run(tmp_path):
    page = run_in(tmp_path, Regression(**TINY, seeds=2, coefficients="0,1e-3"))
    (table,) = page.tables
    assert [row[0] for row in table.rows] == ["unregularized", "with 0.001 x NF loss"]
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        ends = {(row["coefficient"], row["seed"]): row["mse"] for row in csv.DictReader(file)}
    with (tmp_path / "training.csv").open(encoding="utf-8") as file:
        course = list(csv.DictReader(file))
    assert [row["step"] for row in course] == ["2.0", "4.0"] * 4
    assert {(row["coefficient"], row["seed"]): row["mse"] for row in course if row["step"] == "4.0"} == ends
    assert len(page.comparisons) == 1 + 1 + 3
    for figure in page.figures:
        with Image.open(tmp_path / figure.file) as picture:
            assert min(picture.size) > 400


@pytest.mark.slow
def test_squeezing_wears_the_inverse_out_and_the_flows_loss_keeps_it(tmp_path):
    """Paper B, Fig. 13, at the demo's sizes and a coefficient to suit them."""
    page = run_in(tmp_path, Regression(iterations=600, seeds=1, coefficients="0,1e-3"))
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        plain, kept = csv.DictReader(file)
    for key, times in (("condition", 1e3), ("error_largest", 1e2)):  # an empty field is not finite
        assert float(plain[key] or math.inf) > times * float(kept[key])
    assert page.comparisons[1].agrees == "yes"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"points": 0}, "--points: 0"),
        ({"learning_rate": math.inf}, "--learning-rate: inf"),
        ({"scale": "papers"}, "did you mean 'paper'"),
        ({"coefficients": "0,0"}, "--coefficients: '0,0'"),
        ({"coefficients": "0;1"}, "--coefficients: '0;1'"),
        ({"coefficients": "-1"}, "--coefficients: '-1'"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, options, said):
    with pytest.raises(ConfigError) as error:
        run_in(tmp_path / "out", Regression(**options))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_it_is_in_the_catalogue():
    assert STUDIES["regression"] is Regression
